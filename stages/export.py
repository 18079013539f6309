"""models/unet, data/tfrecords -> models/exported, metrics/export.json."""

from _stage import Params, PipelinePaths, run_stage


def main(params: Params, paths: PipelinePaths) -> None:
    from petseg.exporting.export import export

    export(params.export, paths)


if __name__ == "__main__":
    run_stage(main)
