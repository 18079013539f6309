"""petseg: a reproducible segmentation pipeline, and trained models for your own photos.

    import petseg
    model = petseg.load("models/unet")
    mask = model.predict("photo.jpg").mask

Importing petseg imports nothing else. The pipeline's stages are in `stages/`.
"""

import importlib
from typing import Any


def __getattr__(name: str) -> Any:
    """Import `petseg.load` on first use: every stage imports this module, but none needs `load`."""
    if name != "load":
        raise AttributeError(f"module 'petseg' has no attribute {name!r}")
    return importlib.import_module("petseg.photos.predictor").load
