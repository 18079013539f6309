"""The project's folder, tiny parameters, and how to change nested parameters."""

import copy
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]


TINY = {
    "dataset.name": "synthetic_pets",
    "model.alpha": 0.35,
    "model.weights": "none",
    "train.frozen_encoder_epochs": 0,
    "train.encoder_batch_norm": "auto",
    "dataset.synthetic_pets.trainval": 40,
    "dataset.synthetic_pets.test": 8,
    "dataset.synthetic_pets.size": 48,
    "preprocess.image_size": 32,
    "preprocess.val_fraction": 0.2,
    "preprocess.shards": 2,
    "preprocess.train_fraction": 1.0,
    "model.output_stride": 16,  # a third less to trace
    "model.decoder_filters": [8, 8, 8, 8],
    "train.epochs": 2,
    "train.batch_size": 8,
    "evaluate.batch_size": 8,
    "export.formats": ["litert_float32"],
    "export.calibration_images": 4,
    "export.test_images": 4,
    "render.examples": 2,
    "render.best": 2,
    "render.worst": 2,
    "report.images": 2,
}

NO_AUGMENTATION: dict[str, Any] = {
    "flip": False,
    "crop_scale": (1.0, 1.0),
    **dict.fromkeys(("rotation", "brightness", "contrast", "saturation"), 0.0),
}
"""Values of AugmentParams that change nothing."""


def with_values(raw: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    """A copy of nested parameters with the values at dotted keys replaced."""
    changed = copy.deepcopy(raw)
    for key, value in values.items():
        *sections, last = key.split(".")
        section = changed
        for name in sections:
            section = section[name]
        section[last] = value
    return changed


def recipe_settings(recipe: Path) -> dict[str, Any]:
    """The values by dotted key that a file of recipes/ sets."""
    lines = recipe.read_text(encoding="utf-8").splitlines()
    return {
        key: yaml.safe_load(value)
        for key, value in (x.split("=", 1) for x in lines if not x.startswith("#"))
    }
