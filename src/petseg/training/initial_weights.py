"""The weights that a training starts from: random, those of an encoder, or of a trained model."""

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
_HEAD = "head"


def load_initial_weights(
    network: keras.Model, architecture: Architecture, manifest: Manifest, weights: str
) -> str | None:
    """Load what model.weights names.

    It is none, imagenet, an encoder's .h5 file, a model in PRETRAINED, or a model's folder. A
    model's encoder and decoder are taken over, and its head if it has the manifest's classes in
    the same order. Print that, and whether a model of these classes may have learned from the
    validation or the test images. Return the sha256 of its weights. Raises PetsegError if the
    weights don't fit.
    """
    class_names = manifest.class_names
    seen: dict[str, str | None] = {"val": None}  # checksums; pets was not trained on test images
    if weights == "none":
        return None
    if weights in PRETRAINED:
        folder = pretrained_folder(weights)
        pretrained = read_pretrained_weights(folder)
        _check_architecture(pretrained.architecture, architecture, weights)
        names, digest = tuple(pretrained.classes), pretrained.files[INT8_FILE]
        skip = () if names == class_names else (_HEAD,)
        load_pretrained_weights(network, folder, pretrained, skip)
    elif Path(weights).is_dir():
        metadata = read_model_metadata(Path(weights) / MODEL_FILE)
        _check_architecture(metadata.architecture, architecture, weights)
        names, digest = tuple(metadata.classes), metadata.weights.sha256
        if origin := metadata.origin:
            seen = {
                "val": origin.val_sha256,
                "test": origin.test_sha256 or manifest.checksum("test"),
            }
        source = load_model(Path(weights)).network
        for layer in network.layers:
            if layer.weights and (names == class_names or layer.name != _HEAD):
                layer.set_weights(source.get_layer(layer.name).get_weights())
    else:
        encoder = network.get_layer("encoder")
        load_encoder_weights(encoder, architecture.encoder, architecture.alpha, weights)
        return None
    head = "head" if names == class_names else f"not its head, which is for {', '.join(names)}"
    print(f"Starting with the encoder and decoder of {weights}, and {head}.", flush=True)
    titles = {"val": "validation", "test": "test"}
    others = [titles[split] for split in seen if seen[split] != manifest.checksum(split)]
    if names == class_names and others:
        print(MAY_HAVE_SEEN.format(*[" and ".join(others)] * 2), flush=True)
    return digest


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
