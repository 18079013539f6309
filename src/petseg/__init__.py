"""petseg: a reproducible segmentation pipeline, and a trained model for photos of one's own.

    import petseg
    model = petseg.load("models/unet")
    mask = model.predict("photo.jpg").mask

Importing petseg imports nothing else; the stages of the pipeline are in `stages/`.
"""

import importlib
from typing import Any


def __getattr__(name: str) -> Any:
    """`petseg.load`, imported when it is first asked for: this is the ground floor."""
    if name != "load":
        raise AttributeError(f"module 'petseg' has no attribute {name!r}")
    return importlib.import_module("petseg.photos.predictor").load
