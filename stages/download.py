"""dataset -> data/raw: a prepared TFDS data set."""

import os
from pathlib import Path

from _stage import Params, PipelinePaths, run_stage


def main(params: Params, paths: PipelinePaths) -> None:
    from petseg.datasets.prepare import prepare_dataset

    # DVC may run a copy of the project; the archives stay in the main workspace.
    archives = Path(os.environ.get("DVC_ROOT", ".")) / paths.archives
    prepare_dataset(params.dataset, paths.raw, archives)


if __name__ == "__main__":
    run_stage(main)
