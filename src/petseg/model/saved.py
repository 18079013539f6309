"""A saved model: a folder with the weights and a JSON file, which is all that prediction needs.

Loading one runs no code from the folder (no pickle, no Lambda layer, no graph). The same weights
give the same bytes.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import keras

from petseg.config.paths import PipelinePaths, model_remedy
from petseg.config.tiles import Tiles
from petseg.config.train_params import NetworkParams
from petseg.config.types import ClassColors, InputSize, Sha256
from petseg.config.validation import Section, validate
from petseg.core.atomic_io import atomic_directory, atomic_write
from petseg.core.errors import PetsegError, first_line, translate
from petseg.core.geometry import ImageSize, Resize
from petseg.core.hashing import sha256_of
from petseg.core.labels import IGNORE_LABEL, Color
from petseg.core.sealed_json import read_sealed_json, sealed_json
from petseg.model.encoder import ENCODERS
from petseg.model.unet import Architecture, build_unet
from petseg.model.weights_file import (
    check_finite,
    check_weights_file,
    require_all_layers,
    weights_as_bytes,
)

MODEL_FILE, WEIGHTS_FILE = "model.json", "model.weights.h5"
FORMAT = 5


class Origin(Section):
    """What a model was trained on, and its metrics on the validation split."""

    dataset: str
    train_images: int
    val_images: int
    val_sha256: str  # of the validation shards
    test_sha256: Sha256 | None = None  # of the test shards; None in older models
    seed: int
    best_epoch: int  # the epoch that gave the weights
    val_mean_iou: float
    val_pixel_accuracy: float
    initial_weights_sha256: Sha256 | None = None  # of the model that the training started from


@dataclass(frozen=True)
class SavedModel:
    """A network and the meaning of its outputs."""

    network: keras.Model
    architecture: Architecture
    classes: dict[str, Color]
    image_size: ImageSize
    origin: Origin | None = None  # None unless the pipeline trained it
    resize: Resize = "stretch"  # how images are fitted into that size
    tiles: Tiles | None = None  # windows that the network sees of larger images

    @property
    def class_names(self) -> tuple[str, ...]:
        return tuple(self.classes)


class _Architecture(NetworkParams):
    classes: int


class _Input(Section):
    size: InputSize
    tiles: Tiles | None = None
    channels: Literal["RGB"]
    range: list[int]
    rescaling: dict[str, float | tuple[float, float, float]]  # applied by the network itself
    resize: Resize = "stretch"


class _Weights(Section):
    file: Literal["model.weights.h5"]
    sha256: str


class ModelMetadata(Section):
    """The content of model.json.

    It is untrusted: nothing in it can make loading read another file or build a huge network.
    """

    format: int
    architecture: _Architecture
    classes: ClassColors
    ignore_label: Literal[255]
    input: _Input
    weights: _Weights
    origin: Origin | None


def read_model_metadata(path: Path) -> ModelMetadata:
    """Read a model.json. Raises PetsegError if it is missing, changed or inconsistent."""
    remedy = _remedy(path.parent)
    metadata = validate(ModelMetadata, read_sealed_json(path, FORMAT, remedy), str(path))
    if metadata.architecture.classes != len(metadata.classes):
        raise PetsegError(
            f"{path} has {len(metadata.classes)} names for {metadata.architecture.classes} "
            f"classes; {remedy}."
        )
    return metadata


def _remedy(directory: Path) -> str:
    return model_remedy(directory, PipelinePaths.model, "train")


def save_model(saved: SavedModel, directory: Path) -> None:
    """Write a model folder, replacing any earlier one."""
    with atomic_directory(directory) as folder:
        weights = folder / WEIGHTS_FILE
        atomic_write(weights, weights_as_bytes(saved.network))
        atomic_write(folder / MODEL_FILE, sealed_json(_metadata(saved, weights)))


def _metadata(saved: SavedModel, weights: Path) -> dict[str, Any]:
    encoder = ENCODERS[saved.architecture.encoder]
    return {
        "format": FORMAT,
        "architecture": saved.architecture.as_dict(),
        "classes": saved.classes,
        "ignore_label": IGNORE_LABEL,
        "input": _Input(
            size=saved.image_size,
            channels="RGB",
            range=[0, 255],
            rescaling={"scale": encoder.scale, "offset": encoder.offset},
            resize=saved.resize,
            tiles=saved.tiles,
        ).model_dump(mode="json", exclude_defaults=True),
        "weights": {"file": WEIGHTS_FILE, "sha256": sha256_of(weights)},
        "origin": saved.origin.model_dump(exclude_none=True) if saved.origin else None,
    }


def load_model(directory: Path) -> SavedModel:
    """Load a saved model, reading only its two files.

    Raises PetsegError if the folder is missing, damaged or changed.
    """
    path, weights = directory / MODEL_FILE, directory / WEIGHTS_FILE
    remedy = _remedy(directory)
    metadata = read_model_metadata(path)
    if not weights.is_file() or sha256_of(weights) != metadata.weights.sha256:
        raise PetsegError(
            f"{weights} is missing or not the file that {path} names (sha256 differs); {remedy}."
        )
    architecture = Architecture(**metadata.architecture.model_dump())
    network = build_unet(architecture)
    with translate(
        lambda error: f"{weights} doesn't fit {path} ({first_line(error)}); {remedy}.",
        *(ValueError, KeyError, OSError, TypeError, UserWarning),  # Keras's, for other layers
    ):
        check_weights_file(weights, network.count_params())
        with require_all_layers():
            network.load_weights(weights)
        check_finite(network)
    return SavedModel(
        network,
        architecture,
        metadata.classes,
        metadata.input.size,
        origin=metadata.origin,
        resize=metadata.input.resize,
        tiles=metadata.input.tiles,
    )
