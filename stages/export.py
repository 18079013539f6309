"""models/unet, data/tfrecords -> models/exported, metrics/export.json."""

from pathlib import Path

from _stage import Params, run_stage


def main(params: Params) -> None:
    from petseg.exporting.export import export

    export(
        params.export,
        records_dir=Path("data/tfrecords"),
        model_dir=Path("models/unet"),
        exported_dir=Path("models/exported"),
        metrics_file=Path("metrics/export.json"),
    )


if __name__ == "__main__":
    run_stage(main)
