"""data/raw -> data/tfrecords: shards of train, val and test, and the manifest."""

from _stage import Params, PipelinePaths, run_stage


def main(params: Params, paths: PipelinePaths) -> None:
    from petseg.preprocessing.preprocess import preprocess

    preprocess(params.preprocess, params.seed, paths.raw, paths.shards)


if __name__ == "__main__":
    run_stage(main)
