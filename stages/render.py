"""models/unet, data/tfrecords and the tables -> pictures in plots/."""

from pathlib import Path

from _stage import Params, run_stage


def main(params: Params) -> None:
    from petseg.rendering.render import RenderInputs, render

    inputs = RenderInputs(
        records=Path("data/tfrecords"),
        model=Path("models/unet"),
        per_image=Path("reports/per_image.csv"),
        history=Path("plots/history.csv"),
        confusion=Path("plots/confusion.csv"),
    )
    render(params.render, params.evaluate.tta, inputs, Path("plots"))


if __name__ == "__main__":
    run_stage(main)
