"""The saved model: a folder with the weights and a JSON that tells all that a prediction needs.

No pickle, no Lambda, no graph: loading runs no code but ours. The same weights give the same bytes.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from petseg.classes import IGNORE_LABEL, Colour
from petseg.errors import PetsegError
from petseg.hashing import sha256_of
from petseg.model.encoder import ENCODERS
from petseg.model.unet import Architecture, build_unet

MODEL_FILE, WEIGHTS_FILE = "model.json", "model.weights.h5"
_FORMAT = 1


@dataclass(frozen=True)
class SavedModel:
    """A network with what its outputs mean."""

    network: keras.Model
    architecture: Architecture
    classes: dict[str, Colour]
    image_size: int

    @property
    def class_names(self) -> tuple[str, ...]:
        return tuple(self.classes)


def save_model(saved: SavedModel, directory: Path) -> None:
    """Write the folder, which is made if need be."""
    directory.mkdir(parents=True, exist_ok=True)
    weights = directory / WEIGHTS_FILE
    saved.network.save_weights(weights)
    kind = ENCODERS[saved.architecture.encoder]
    description: dict[str, Any] = {
        "format": _FORMAT,
        "architecture": saved.architecture.as_dict(),
        "classes": saved.classes,
        "ignore_label": IGNORE_LABEL,
        "input": {
            "size": saved.image_size,
            "channels": "RGB",
            "range": [0, 255],
            "scaled_inside_by": {"scale": kind.scale, "offset": kind.offset},
        },
        "weights": {"file": WEIGHTS_FILE, "sha256": sha256_of(weights)},
    }
    (directory / MODEL_FILE).write_text(json.dumps(description, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def load_model(directory: Path) -> SavedModel:
    """Build the network of a saved folder and fill in its weights. Raises PetsegError if it is missing or damaged."""
    path = directory / MODEL_FILE
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
        fields = description["architecture"]
        architecture = Architecture(**{**fields, "decoder_filters": tuple(fields["decoder_filters"])})
        classes = {name: tuple(colour) for name, colour in description["classes"].items()}
        image_size, digest = description["input"]["size"], description["weights"]["sha256"]
        version = description["format"]
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise PetsegError(f"{path} is missing or damaged; train a model with dvc repro train.") from error
    if version != _FORMAT:
        raise PetsegError(
            f"{path} is of format {version}, this petseg reads {_FORMAT}; train again with dvc repro train."
        )
    weights = directory / WEIGHTS_FILE
    if not weights.is_file() or sha256_of(weights) != digest:
        raise PetsegError(
            f"{weights} is missing or not the one that {path} names (sha256 differs); run dvc checkout --force."
        )
    network = build_unet(architecture)
    network.load_weights(weights)
    return SavedModel(network, architecture, classes, image_size)
