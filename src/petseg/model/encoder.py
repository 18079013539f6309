"""The encoder: a classification network that returns its features at five strides.

To add an encoder, add its name and its widths to petseg.config.types, and an entry to `ENCODERS`:
its title, a constructor like Keras's, the names of the layers whose outputs are the features at
strides 2, 4, 8, 16 and 32, and the input scaling that its pretrained weights expect.
"""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import keras

from petseg.config.types import BatchNormMode, Encoder
from petseg.core.errors import first_line, translate
from petseg.model.batch_norm import BatchNormalization
from petseg.model.efficientnet_lite import build_efficientnet_lite, feature_layers
from petseg.model.folding import FOLDABLE, fold_batch_norms
from petseg.model.weights_file import check_finite, check_weights_file, require_all_layers

STRIDES = (2, 4, 8, 16, 32)
_NUMBERED = re.compile(r"(activation|re_lu)(_\d+)?")  # names that Keras gives


@dataclass(frozen=True)
class EncoderKind:
    title: str
    construct: Callable[..., keras.Model]  # takes input_shape, alpha, include_top and weights
    features: tuple[str, ...]  # the names of the layers at STRIDES
    scale: float | tuple[float, float, float]  # the encoder sees image * scale + offset, with the
    offset: float | tuple[float, float, float]  # image in 0..255; one number, or one per channel


def _efficientnet_v2_b0(alpha: float, **options: Any) -> keras.Model:
    """Build the network; it has one width, so `alpha` is 1."""
    return keras.applications.EfficientNetV2B0(include_preprocessing=False, **options)


def _efficientnet_lite(name: str, title: str) -> EncoderKind:
    return EncoderKind(
        title=title,
        construct=partial(build_efficientnet_lite, name),
        features=feature_layers(name),
        scale=1 / 128,  # MEAN_RGB 127 and STDDEV_RGB 128 of its efficientnet_lite_builder.py
        offset=-127 / 128,
    )


ENCODERS: dict[Encoder, EncoderKind] = {
    "mobilenet_v2": EncoderKind(
        title="MobileNetV2",
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
    "mobilenet_v3_large": EncoderKind(
        title="MobileNetV3-Large",
        construct=partial(keras.applications.MobileNetV3Large, include_preprocessing=False),
        # The activations of expanded_conv_1, 3, 6, 12, and of the last convolution.
        features=("re_lu_1", "re_lu_5", "activation_1", "activation_13", "activation_19"),
        scale=1 / 127.5,
        offset=-1.0,
    ),
    "efficientnet_v2_b0": EncoderKind(
        title="EfficientNetV2-B0",
        construct=_efficientnet_v2_b0,
        features=(
            "block1a_project_activation",
            "block2b_add",
            "block4a_expand_activation",
            "block6a_expand_activation",
            "top_activation",
        ),
        # The means and standard deviations of ImageNet's red, green and blue.
        scale=(1 / 255 / 0.229, 1 / 255 / 0.224, 1 / 255 / 0.225),
        offset=(-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225),
    ),
    "efficientnet_lite0": _efficientnet_lite("efficientnet_lite0", "EfficientNet-Lite0"),
    "efficientnet_lite2": _efficientnet_lite("efficientnet_lite2", "EfficientNet-Lite2"),
}


def build_encoder(name: Encoder, alpha: float, output_stride: int = STRIDES[-1]) -> keras.Model:
    """Build a network from scaled images (B, H, W, 3) to its features at each stride.

    The features end at `output_stride`. Its weights are random. H and W must be multiples of the
    output stride.
    """
    kind = ENCODERS[name]
    # Keras's default name would depend on how many networks were built before.
    scaled_image = keras.Input((None, None, 3), name="scaled_image")
    # Only the clone's weights are used. Not initializing these saves a fifth of the time.
    with keras.StatelessScope(initialize_variables=False):
        original = kind.construct(
            input_shape=(None, None, 3), alpha=alpha, include_top=False, weights=None
        )
    classifier = clone_with_foldable_layers(original, scaled_image)
    num_features = STRIDES.index(output_stride) + 1
    features = [classifier.get_layer(name).output for name in kind.features[:num_features]]
    encoder = keras.Model(classifier.input, features, name="encoder")
    fold_batch_norms(encoder)
    return encoder


def load_encoder_weights(encoder: keras.Model, name: Encoder, alpha: float, weights: str) -> None:
    """Load pretrained weights: "imagenet", or the path of a .h5 file without top.

    Raises PetsegError if the weights can't be downloaded or don't fit.
    """

    def explain(error: Exception) -> str:
        if weights == "imagenet":
            return (
                "model.weights is imagenet, but Keras couldn't download them "
                f"({first_line(error)}); check the network connection, delete the partly "
                "downloaded file in ~/.keras/models if there is one, set model.encoder to "
                "efficientnet_lite2, whose weights are installed, and model.alpha to 1.0, or set "
                "model.weights to the path of a .h5 file or to none."
            )
        if Path(weights).with_name("model.json").is_file():
            folder = str(Path(weights).parent)
            return (
                f"model.weights is {weights!r}, a file of a trained model; set it to the folder, "
                f"{folder!r}."
            )
        return (
            f"model.weights is {weights!r}, which doesn't hold the weights of {name} with alpha "
            f"{alpha} and no top ({first_line(error)})."
        )

    with translate(explain):  # any Exception: Keras passes on what its downloader or h5py raises
        if weights != "imagenet":
            check_weights_file(Path(weights), build_encoder(name, alpha).count_params())
        with require_all_layers():
            pretrained = ENCODERS[name].construct(
                input_shape=(224, 224, 3), alpha=alpha, include_top=False, weights=weights
            )
        check_finite(pretrained)
    for layer in encoder.layers:
        if layer.weights:
            layer.set_weights(pretrained.get_layer(layer.name).get_weights())


def set_encoder_trainable(encoder: keras.Model, trainable: bool, batch_norm: BatchNormMode) -> None:
    """Freeze an encoder, or unfreeze it with its batch norms as `batch_norm` says.

    A batch norm that is frozen or "affine" normalizes by its stored statistics, in training too.
    Calling the encoder with `training=False` would not do that, because Keras's functional model
    passes its own `training` on.
    """
    encoder.trainable = trainable
    for layer in encoder.layers:
        if isinstance(layer, BatchNormalization):
            layer.trainable = trainable and batch_norm != "frozen"
            layer.keeps_statistics = batch_norm == "affine"


def clone_with_foldable_layers(network: keras.Model, inputs: keras.KerasTensor) -> keras.Model:
    """Clone a network onto these inputs, with new weights and its layers replaced by FOLDABLE.

    Two things would make runs differ. Keras numbers activations that have no name through all
    networks of the process; here the numbers start at 0. And dropout draws from a random state
    that no checkpoint holds; it is switched off.
    """
    num_clones: Counter[str] = Counter()

    def clone(layer: keras.layers.Layer) -> keras.layers.Layer:
        kind, config = FOLDABLE.get(type(layer), type(layer)), layer.get_config()
        if numbered := _NUMBERED.fullmatch(layer.name):
            name = numbered[1]
            config["name"] = f"{name}_{num_clones[name]}"
            num_clones[name] += 1
        if isinstance(layer, keras.layers.Dropout):
            config["rate"] = 0.0
        return kind.from_config(config)

    return keras.models.clone_model(network, input_tensors=inputs, clone_function=clone)
