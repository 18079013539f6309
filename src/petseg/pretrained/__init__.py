"""Models that come with petseg: a folder each, with the exported file and its model card.

`petseg.load("pets")` predicts with one, `model.weights: pets` trains it further.
"""

import sys
from pathlib import Path

from petseg.config.types import PRETRAINED

_HERE = Path(__file__).parent


def pretrained_folder(name: str) -> Path:
    """Return the folder of a model in PRETRAINED."""
    return _HERE / name


def warn_of_synthetic_pets(model: Path, dataset: str | None) -> None:
    """Say that a model of the data set synthetic_pets isn't for photos, and which one is."""
    if dataset == "synthetic_pets":
        print(
            f"{model} was trained on synthetic pets and is wrong on photos; for those, choose "
            f"petseg's own model, {PRETRAINED[0]} (--model {PRETRAINED[0]}).",
            file=sys.stderr,
        )
