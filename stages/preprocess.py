"""data/raw -> data/tfrecords: shards of train, val and test, and the manifest."""

from pathlib import Path

from _stage import Params, run_stage


def main(params: Params) -> None:
    from petseg.records.preprocess import preprocess

    preprocess(params.preprocess, params.seed, Path("data/raw"), Path("data/tfrecords"))


if __name__ == "__main__":
    run_stage(main)
