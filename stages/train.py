"""data/tfrecords -> models/unet, metrics/train.json, plots/history.csv."""

from pathlib import Path

from _stage import Params, run_stage
from petseg.cluster import read_worker


def main(params: Params) -> None:
    from petseg.training.train import train

    train(
        params,
        records_dir=Path("data/tfrecords"),
        model_dir=Path("models/unet"),
        metrics_file=Path("metrics/train.json"),
        history_file=Path("plots/history.csv"),
        previews_dir=Path("previews"),
    )


if __name__ == "__main__":
    run_stage(main, writes=lambda: read_worker().is_chief)
