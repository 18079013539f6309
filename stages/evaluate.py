"""models/unet, data/tfrecords -> metrics/, reports/*.csv, plots/confusion.csv."""

from _stage import Params, PipelinePaths, run_stage


def main(params: Params, paths: PipelinePaths) -> None:
    from petseg.evaluation.evaluate import evaluate

    evaluate(params.evaluate, paths)


if __name__ == "__main__":
    run_stage(main)
