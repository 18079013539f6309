"""The encoder: a classification network cut into features at five strides.

To add one, give `ENCODERS` its Keras constructor, the names of the layers whose outputs are the features at strides
2, 4, 8, 16 and 32, and how its weights expect their inputs.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from petseg.core.errors import PetsegError, first_line
from petseg.model.folding import fold_batch_norms, with_our_layers
from petseg.model.weights_file import check_finite, check_weights_file

STRIDES = (2, 4, 8, 16, 32)


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


def build_encoder(name: str, alpha: float, output_stride: int = STRIDES[-1]) -> keras.Model:
    """Scaled images (B, H, W, 3) to its features at each of STRIDES up to `output_stride`, with random weights.

    H and W are multiples of the output stride.
    """
    kind = ENCODERS[name]
    scaled = keras.Input(
        (None, None, 3), name="scaled_image"
    )  # Keras's own name would count the networks built before
    with keras.StatelessScope(
        initialize_variables=False
    ):  # its weights would take a fifth of the time and go unused
        published = kind.construct(
            input_shape=(None, None, 3), alpha=alpha, include_top=False, weights=None
        )
    whole = with_our_layers(published, scaled)
    outputs = [
        whole.get_layer(layer).output for layer in kind.features[: STRIDES.index(output_stride) + 1]
    ]
    encoder = keras.Model(whole.input, outputs, name="encoder")
    fold_batch_norms(encoder)
    return encoder


def load_encoder_weights(encoder: keras.Model, name: str, alpha: float, weights: str) -> None:
    """Put pretrained weights into an encoder, whole or cut: `weights` is "imagenet" or a .h5 file without top.

    Raises PetsegError if they can't be had or don't fit.
    """
    construct: dict[str, Any] = {"input_shape": (224, 224, 3), "alpha": alpha, "include_top": False}
    try:
        if weights != "imagenet":
            check_weights_file(Path(weights), build_encoder(name, alpha).count_params())
        with warnings.catch_warnings():
            warnings.simplefilter(
                "error", UserWarning
            )  # Keras only warns of layers that it left as they were
            pretrained = ENCODERS[name].construct(weights=weights, **construct)
        check_finite(pretrained)
    except Exception as error:  # Keras raises whatever its downloader or h5py did
        if weights == "imagenet":
            raise PetsegError(
                f"model.weights is imagenet, but Keras couldn't download them ({first_line(error)}); "
                "connect to the network (if an earlier download was cut off, first remove mobilenet_v2* from Keras's "
                "folder, ~/.keras/models), or set model.weights to the path of a .h5 file or to none."
            ) from error
        raise PetsegError(
            f"model.weights is {weights!r}, which doesn't hold the weights of {name} with alpha {alpha} and no top "
            f"({first_line(error)})."
        ) from error
    for layer in encoder.layers:
        if layer.weights:
            layer.set_weights(pretrained.get_layer(layer.name).get_weights())


def set_encoder_trainable(encoder: keras.Model, trainable: bool, batch_norm: bool) -> None:
    """Freeze an encoder, or thaw it with or without its batch norms.

    A frozen batch norm keeps its weights and normalizes by its stored statistics, in training too. (Calling the encoder
    with `training=False` does not do that: Keras's functional model passes its own `training` on.)
    """
    encoder.trainable = trainable
    for layer in encoder.layers:
        if trainable and not batch_norm and isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False
