"""Metrics, tables, model and data -> reports/index.html, reports/MODEL_CARD.md."""

from pathlib import Path

from _stage import Params, run_stage


def main(params: Params) -> None:
    from petseg.reporting.facts import Inputs
    from petseg.reporting.report import report

    inputs = Inputs(
        records=Path("data/tfrecords"),
        model=Path("models/unet"),
        scores=Path("reports/scores.csv"),
        per_image=Path("reports/per_image.csv"),
        per_breed=Path("reports/per_breed.csv"),
        per_species=Path("reports/per_species.csv"),
        confusion=Path("plots/confusion.csv"),
        history=Path("plots/history.csv"),
        curves=Path("plots/curves.png"),
        export=Path("metrics/export.json"),
        exported=Path("models/exported"),
    )
    report(params, inputs, page=Path("reports/index.html"), card=Path("reports/MODEL_CARD.md"))


if __name__ == "__main__":
    run_stage(main)
