"""The encoder: a classification network cut into features at five strides.

To add one, give `ENCODERS` its Keras constructor, the names of the layers whose outputs are the features at strides
2, 4, 8, 16 and 32, and how its weights expect their inputs.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras

from petseg.errors import PetsegError

STRIDES = (2, 4, 8, 16, 32)
BATCH_NORM_MOMENTUM = 0.9
"""Keras's defaults (0.99, in MobileNetV2 0.999) lag for hundreds of steps, and so does the validation score."""


@dataclass(frozen=True)
class EncoderKind:
    construct: Callable[..., keras.Model]
    features: tuple[str, ...]  # one layer per stride
    scale: float  # the encoder sees image * scale + offset, the image being 0..255
    offset: float


ENCODERS = {
    "mobilenet_v2": EncoderKind(
        construct=keras.applications.MobileNetV2,
        features=(
            "block_1_expand_relu",
            "block_3_expand_relu",
            "block_6_expand_relu",
            "block_13_expand_relu",
            "out_relu",
        ),
        scale=1 / 127.5,
        offset=-1.0,
    ),
}


def build_encoder(name: str, alpha: float) -> keras.Model:
    """Scaled images (B, H, W, 3) to the list of features at STRIDES; H and W are multiples of 32. Random weights."""
    kind = ENCODERS[name]
    whole = kind.construct(input_shape=(None, None, 3), alpha=alpha, include_top=False, weights=None)
    for layer in whole.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = BATCH_NORM_MOMENTUM
    outputs = [whole.get_layer(layer).output for layer in kind.features]
    return keras.Model(whole.input, outputs, name="encoder")


def load_encoder_weights(encoder: keras.Model, name: str, alpha: float, weights: str) -> None:
    """Put pretrained weights into an encoder: `weights` is "imagenet" or the path of a .h5 file without top.

    Raises PetsegError if they can't be had or don't fit.
    """
    construct: dict[str, Any] = {"input_shape": (224, 224, 3), "alpha": alpha, "include_top": False}
    try:
        pretrained = ENCODERS[name].construct(weights=weights, **construct)
    except Exception as error:  # Keras raises whatever its downloader or h5py did
        if weights == "imagenet":
            raise PetsegError(
                f"model.weights is imagenet, but Keras couldn't download them ({_first_line(error)}); "
                "connect to the network, or set model.weights to the path of a .h5 file or to none."
            ) from error
        raise PetsegError(
            f"model.weights is {weights!r}, which doesn't hold the weights of {name} with alpha {alpha} and no top "
            f"({_first_line(error)})."
        ) from error
    encoder.set_weights(pretrained.get_weights())


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
