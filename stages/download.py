"""dataset -> data/raw: a prepared TFDS data set, whatever the source."""

import os
from pathlib import Path

from _stage import Params, run_stage


def main(params: Params) -> None:
    from petseg.datasets.prepare import prepare_dataset

    # Archives lie in the main repository, also when DVC runs a copy of it.
    archives = Path(os.environ.get("DVC_ROOT", ".")) / "data" / "archives"
    prepare_dataset(params.dataset, Path("data/raw"), archives)


if __name__ == "__main__":
    run_stage(main)
