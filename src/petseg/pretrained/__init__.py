"""Models that come with petseg: a folder each, with the exported file and its model card.

`petseg.load("pets")` predicts with one, `model.weights: pets` trains it further.
"""

from pathlib import Path

from petseg.config.types import PRETRAINED

_HERE = Path(__file__).parent


def pretrained_folder(name: str) -> Path:
    """Return the folder of a model in PRETRAINED."""
    return _HERE / PRETRAINED[PRETRAINED.index(name)]
