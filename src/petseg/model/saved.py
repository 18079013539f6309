"""The saved model: a folder with the weights and a JSON that tells all that a prediction needs.

No pickle, no Lambda, no graph: loading runs no code but ours. The same weights give the same bytes.
"""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import keras

from petseg.config.params import NetworkParams
from petseg.config.types import ClassColors, ImageSize
from petseg.config.validation import Section, validate
from petseg.core.atomic_io import atomic_directory, atomic_write
from petseg.core.errors import PetsegError, first_line
from petseg.core.hashing import sha256_of
from petseg.core.labels import IGNORE_LABEL, Color
from petseg.core.sealed_json import read_sealed_json, sealed_json
from petseg.model.encoder import ENCODERS
from petseg.model.unet import Architecture, build_unet
from petseg.model.weights_file import check_finite, check_weights_file, weights_as_bytes

MODEL_FILE, WEIGHTS_FILE = "model.json", "model.weights.h5"
FORMAT = 4
_REMEDY = "restore it with dvc checkout --force, or train a model with dvc repro train"


class Origin(Section):
    """What a model was trained on, and how good it then was on the validation part."""

    data: str  # the source's name
    train_pictures: int
    val_pictures: int
    val_sha256: str  # of the validation part's shards
    seed: int
    epoch: int  # the best one, whose weights these are
    val_mean_iou: float
    val_pixel_accuracy: float


@dataclass(frozen=True)
class SavedModel:
    """A network with what its outputs mean."""

    network: keras.Model
    architecture: Architecture
    classes: dict[str, Color]
    image_size: int
    origin: Origin | None = None  # None if it wasn't the pipeline that trained it

    @property
    def class_names(self) -> tuple[str, ...]:
        return tuple(self.classes)


class _Architecture(NetworkParams):
    classes: int


class _Input(Section):
    size: ImageSize
    channels: Literal["RGB"]
    range: list[int]
    scaled_inside_by: dict[str, float]


class _Weights(Section):
    file: Literal["model.weights.h5"]
    sha256: str


class Description(Section):
    """model.json, which may come from anybody: nothing in it can make loading read or build what it shouldn't."""

    format: int
    architecture: _Architecture
    classes: ClassColors
    ignore_label: Literal[255]
    input: _Input
    weights: _Weights
    origin: Origin | None


def read_description(path: Path) -> Description:
    """A model.json, known to be as it was written and to make sense. Raises PetsegError."""
    description = validate(Description, read_sealed_json(path, FORMAT, _REMEDY), str(path))
    if description.architecture.classes != len(description.classes):
        raise PetsegError(
            f"{path} names {len(description.classes)} classes for {description.architecture.classes}; {_REMEDY}."
        )
    return description


def save_model(saved: SavedModel, directory: Path) -> None:
    """Write the folder, which takes the place of an earlier one."""
    with atomic_directory(directory) as folder:
        weights = folder / WEIGHTS_FILE
        atomic_write(weights, weights_as_bytes(saved.network))
        atomic_write(folder / MODEL_FILE, sealed_json(_describe(saved, weights)))


def _describe(saved: SavedModel, weights: Path) -> dict[str, Any]:
    kind = ENCODERS[saved.architecture.encoder]
    return {
        "format": FORMAT,
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
        "origin": saved.origin.model_dump() if saved.origin else None,
    }


def load_model(directory: Path) -> SavedModel:
    """Build the network of a saved folder and fill in its weights; runs no code of the folder's, reads nothing else.

    Raises PetsegError if the folder is missing, damaged or changed.
    """
    path, weights = directory / MODEL_FILE, directory / WEIGHTS_FILE
    description = read_description(path)
    if not weights.is_file() or sha256_of(weights) != description.weights.sha256:
        raise PetsegError(
            f"{weights} is missing or not the one that {path} names (sha256 differs); {_REMEDY}."
        )
    architecture = Architecture(**description.architecture.model_dump())
    network = build_unet(architecture)
    try:
        check_weights_file(weights, network.count_params())
        with warnings.catch_warnings():
            warnings.simplefilter(
                "error", UserWarning
            )  # Keras only warns of layers that it left as they were
            network.load_weights(weights)
        check_finite(network)
    except (
        ValueError,
        KeyError,
        OSError,
        TypeError,
        UserWarning,
    ) as error:  # Keras's, for other layers or shapes
        raise PetsegError(
            f"{weights} doesn't fit {path} ({first_line(error)}); {_REMEDY}."
        ) from error
    return SavedModel(
        network, architecture, description.classes, description.input.size, description.origin
    )
