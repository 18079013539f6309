"""dataset -> data/raw: a prepared TFDS data set."""

from _stage import Params, PipelinePaths, run_stage


def main(params: Params, paths: PipelinePaths) -> None:
    from petseg.config.paths import main_repository
    from petseg.datasets.prepare import prepare_dataset

    # DVC may run a copy of the project; the archives stay in the main workspace.
    archives = main_repository() / paths.archives
    prepare_dataset(params.dataset, paths.raw, archives)


if __name__ == "__main__":
    run_stage(main)
