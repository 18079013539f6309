"""models/unet, data/tfrecords and tables -> plots/*.png, plots/masks."""

from _stage import Params, PipelinePaths, run_stage


def main(params: Params, paths: PipelinePaths) -> None:
    from petseg.rendering.render import render

    render(params.render, params.evaluate.tta, paths)


if __name__ == "__main__":
    run_stage(main)
