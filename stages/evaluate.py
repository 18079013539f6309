"""models/unet, data/tfrecords -> metrics/test.json, tables by picture and breed, plots/confusion.csv."""

from pathlib import Path

from _stage import Params, run_stage


def main(params: Params) -> None:
    from petseg.evaluation.evaluate import EvaluateOuts, evaluate

    outs = EvaluateOuts(
        metrics=Path("metrics/test.json"),
        per_image=Path("reports/per_image.csv"),
        per_breed=Path("reports/per_breed.csv"),
        confusion=Path("plots/confusion.csv"),
    )
    evaluate(params.evaluate, Path("data/tfrecords"), Path("models/unet"), outs)


if __name__ == "__main__":
    run_stage(main)
