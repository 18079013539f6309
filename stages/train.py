"""data/tfrecords -> models/unet, metrics/train.json, plots/history.csv."""

from _stage import Params, PipelinePaths, run_stage
from petseg.training.cluster import read_worker


def main(params: Params, paths: PipelinePaths) -> None:
    from petseg.training.train import train

    train(params, paths)


if __name__ == "__main__":
    run_stage(main, is_writer=lambda: read_worker().is_chief)
