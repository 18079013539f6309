"""models/unet, data/tfrecords -> metrics/, tables by picture, breed and species, plots/confusion.csv."""

from pathlib import Path

from _stage import Params, run_stage


def main(params: Params) -> None:
    from petseg.evaluation.evaluate import EvaluateOuts, evaluate

    outs = EvaluateOuts(
        val_metrics=Path("metrics/val.json"),
        metrics=Path("metrics/test.json"),
        scores=Path("reports/scores.csv"),
        per_image=Path("reports/per_image.csv"),
        per_breed=Path("reports/per_breed.csv"),
        per_species=Path("reports/per_species.csv"),
        confusion=Path("plots/confusion.csv"),
    )
    evaluate(params.evaluate, Path("data/tfrecords"), Path("models/unet"), outs)


if __name__ == "__main__":
    run_stage(main)
