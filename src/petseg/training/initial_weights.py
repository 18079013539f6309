"""The weights that a training starts from: random, those of an encoder, or of a trained model."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import keras

from petseg.config.train_params import NetworkParams
from petseg.config.types import PRETRAINED
from petseg.core.errors import PetsegError
from petseg.model.encoder import load_encoder_weights
from petseg.model.saved import MODEL_FILE, load_model, read_model_metadata
from petseg.model.unet import Architecture
from petseg.pretrained import pretrained_folder
from petseg.pretrained.weights import (
    INT8_FILE,
    WEIGHTS_JSON,
    load_pretrained_weights,
    read_pretrained_weights,
)
from petseg.shards.manifest import Manifest

MAY_HAVE_SEEN = (
    "Unless its {} images were the same as these, it may have been trained on some of them, and "
    "the {} metrics may be too high."
)
NOT_KNOWN = " Its model.json doesn't say which {} images it had."
_HEAD = "head"


@dataclass(frozen=True)
class InitialModel:
    """A trained model whose weights a training starts from."""

    weights: str  # as model.weights names it
    class_names: tuple[str, ...]
    sha256: str  # of its weights
    held_out: Mapping[str, str | None]  # checksums of shards it didn't learn from; None if unknown


def load_initial_weights(
    network: keras.Model, architecture: Architecture, class_names: tuple[str, ...], weights: str
) -> InitialModel | None:
    """Load what model.weights names, and return it if it is a trained model.

    It is none, imagenet, an encoder's .h5 file, a model in PRETRAINED, or a model's folder. A
    model's encoder and decoder are taken over, and its head if it has these classes in the same
    order. Raises PetsegError if the weights don't fit.
    """
    if weights == "none":
        return None
    if weights in PRETRAINED:
        return _load_pretrained(network, architecture, class_names, weights)
    if Path(weights).is_dir():
        return _load_trained(network, architecture, class_names, weights)
    encoder = network.get_layer("encoder")
    load_encoder_weights(encoder, architecture.encoder, architecture.alpha, weights)
    return None


def describe_start(model: InitialModel, manifest: Manifest) -> str:
    """Say what a training takes over from a model, and whether its metrics may be too high.

    They may if a model of the same classes has learned from the validation or the test images.
    """
    same_classes = model.class_names == manifest.class_names
    head = "head" if same_classes else f"not its head, which is for {', '.join(model.class_names)}"
    text = f"Starting with the encoder and decoder of {model.weights}, and {head}."
    titles = {"val": "validation", "test": "test"}
    others = [
        titles[split]
        for split, checksum in model.held_out.items()
        if checksum != manifest.checksum(split)
    ]
    if not same_classes or not others:
        return text
    unknown = [titles[split] for split, checksum in model.held_out.items() if checksum is None]
    text += "\n" + MAY_HAVE_SEEN.format(*[" and ".join(others)] * 2)
    return text + (NOT_KNOWN.format(" and ".join(unknown)) if unknown else "")


def _load_pretrained(
    network: keras.Model, architecture: Architecture, class_names: tuple[str, ...], weights: str
) -> InitialModel:
    folder = pretrained_folder(weights)
    pretrained = read_pretrained_weights(folder)
    _check_architecture(pretrained.architecture, architecture, weights)
    names = tuple(pretrained.classes)
    load_pretrained_weights(
        network, folder, pretrained, skip=() if names == class_names else (_HEAD,)
    )
    # Its validation shards were others, and it has seen none of Oxford-IIIT Pet's test images.
    return InitialModel(weights, names, pretrained.files[INT8_FILE], {"val": "others"})


def _load_trained(
    network: keras.Model, architecture: Architecture, class_names: tuple[str, ...], weights: str
) -> InitialModel:
    metadata = read_model_metadata(Path(weights) / MODEL_FILE)
    _check_architecture(metadata.architecture, architecture, weights)
    names, origin = tuple(metadata.classes), metadata.origin
    source = load_model(Path(weights)).network
    for layer in network.layers:
        if layer.weights and (names == class_names or layer.name != _HEAD):
            layer.set_weights(source.get_layer(layer.name).get_weights())
    held_out = {
        "val": origin.val_sha256 if origin else None,
        "test": origin.test_sha256 if origin else None,
    }
    return InitialModel(weights, names, metadata.weights.sha256, held_out)


def identifying_file(weights: str) -> Path | None:
    """Return a file that changes with the weights, or None for those that always are the same."""
    if weights in ("none", "imagenet"):
        return None
    if weights in PRETRAINED:
        return pretrained_folder(weights) / WEIGHTS_JSON
    return Path(weights) / MODEL_FILE if Path(weights).is_dir() else Path(weights)


def _check_architecture(network: NetworkParams, architecture: Architecture, weights: str) -> None:
    """Raise PetsegError if the networks differ in more than their classes."""
    theirs, ours = network.model_dump(), architecture.as_dict()
    different = [name for name in ours if name != "classes" and ours[name] != theirs[name]]
    if different:
        found, wanted = (
            ", ".join(f"{name} {_as_yaml(values[name])}" for name in different)
            for values in (theirs, ours)
        )
        settings = " ".join(f"-S 'model.{name}={_as_yaml(theirs[name])}'" for name in different)
        raise PetsegError(
            f"model.weights is {weights!r}, a network with {found}, but the parameters say "
            f"{wanted}; add {settings}, or start from another model."
        )


def _as_yaml(value: object) -> str:
    return str(list(value)).replace(" ", "") if isinstance(value, tuple) else str(value)
