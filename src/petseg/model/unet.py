"""The U-Net: an encoder that shrinks the image, a decoder that enlarges what it found, and bridges between the two.

At each stride the decoder enlarges its features, lays the encoder's features of that size beside them (the skip
connection), and mixes both with two convolutions. At full size the skip connection is a convolution of the image
itself. The head turns the last features into one logit per class and pixel.
"""

from dataclasses import asdict, dataclass
from typing import Any

import keras
from keras import layers

from petseg.model.batch_norm import BatchNormalization
from petseg.model.encoder import ENCODERS, STRIDES, build_encoder
from petseg.model.folding import Conv2D, SeparableConv2D, fold_batch_norms

_IMAGE_SKIP_FILTERS = 16


@dataclass(frozen=True)
class Architecture:
    """All that it takes to build the network again."""

    encoder: str
    alpha: float
    decoder_filters: tuple[int, ...]  # at the strides below the encoder's: 16, 8, 4, 2, 1, or the first few of them
    classes: int
    encoder_stride: int = 32  # of its deepest features: 32 | 16
    decoder: str = "separable"  # separable | full | transposed
    context: str = "none"  # none | aspp
    attention: bool = False
    enlarge: int = 1  # the encoder sees the image so many times as large: 1 | 2

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def build_unet(architecture: Architecture) -> keras.Model:
    """Images (B, H, W, 3) of 0..255, H and W multiples of the encoder's stride, to logits (B, H, W, classes).

    With `enlarge` 2 the encoder sees the image at twice its size, which suits a network that was pretrained on larger
    ones, and its features at stride 2 are as large as the mask. Whatever Keras's policy, images are scaled and logits
    made in float32.
    """
    kind, widths = ENCODERS[architecture.encoder], architecture.decoder_filters
    images = keras.Input((None, None, 3), name="image")
    scaled = layers.Rescaling(kind.scale, kind.offset, dtype=keras.config.floatx(), name="scale")(images)
    if architecture.enlarge > 1:
        scaled = layers.UpSampling2D(architecture.enlarge, interpolation="bilinear", name="enlarge_image")(scaled)
    encoder = build_encoder(architecture.encoder, architecture.alpha, architecture.encoder_stride)
    *skips, deepest = encoder(scaled)  # (B, H/2, W/2, .), ... (B, H/32, W/32, .)
    bridges = list(reversed(skips))
    strides = decoder_strides(architecture.encoder_stride)
    if len(widths) == len(strides):
        bridges.append(conv(scaled, _IMAGE_SKIP_FILTERS, 3, "image_skip"))  # (B, H, W, 16)

    context = aspp if architecture.context == "aspp" else _bridge
    x = context(deepest, widths[0])  # (B, H/32, W/32, first)
    for stride, skip, filters in zip(strides, bridges, widths, strict=False):
        x = decoder_block(x, skip, filters, architecture.decoder, 2 if stride > 1 else 1, f"decoder_{stride}")
        if architecture.attention:
            x = scse(x, f"decoder_{stride}_attention")
    logits = layers.Conv2D(architecture.classes, 1, dtype=keras.config.floatx(), name="head")(x)
    left = strides[len(widths) - 1] // architecture.enlarge
    if left > 1:
        logits = layers.UpSampling2D(left, interpolation="bilinear", dtype=keras.config.floatx(), name="enlarge")(
            logits
        )
    network = keras.Model(images, logits, name="unet")  # (B, H, W, classes)
    fold_batch_norms(network)
    return network


def decoder_strides(encoder_stride: int) -> tuple[int, ...]:
    """Of the decoder's blocks, the first one first."""
    return (*(stride for stride in reversed(STRIDES) if stride < encoder_stride), 1)


def decoder_block(
    x: keras.KerasTensor, skip: keras.KerasTensor, filters: int, kind: str, convolutions: int, name: str
) -> keras.KerasTensor:
    """Enlarge x (B, h, w, c) twofold, lay the skip (B, 2h, 2w, s) beside it, mix: (B, 2h, 2w, filters)."""
    if kind == "transposed":
        x = layers.Conv2DTranspose(filters, 3, strides=2, padding="same", use_bias=False, name=f"{name}_up")(x)
        x = _norm_relu(x, f"{name}_up")
    else:
        x = layers.UpSampling2D(interpolation="bilinear", name=f"{name}_up")(x)
    x = layers.Concatenate(name=f"{name}_skip")([x, skip])
    convolution = Conv2D if kind == "full" else SeparableConv2D
    for i in range(convolutions):
        x = convolution(filters, 3, padding="same", use_bias=False, name=f"{name}_conv{i}")(x)
        x = BatchNormalization(name=f"{name}_norm{i}")(x)
        x = layers.ReLU(name=f"{name}_relu{i}")(x)
    return x


def aspp(x: keras.KerasTensor, filters: int) -> keras.KerasTensor:
    """Atrous spatial pyramid pooling (Chen et al., https://arxiv.org/abs/1706.05587): (B, h, w, filters).

    The dilations are small, since at stride 32 there are few pixels.
    """
    x = _bridge(x, filters)
    branches = [x]
    for dilation in (1, 2, 3):
        name = f"aspp_{dilation}"
        wide = SeparableConv2D(filters, 3, padding="same", dilation_rate=dilation, use_bias=False, name=name)(x)
        branches.append(_norm_relu(wide, name))
    whole = conv(layers.GlobalAveragePooling2D(keepdims=True, name="aspp_mean")(x), filters, 1, "aspp_whole")
    together = conv(layers.Concatenate(name="aspp_all")(branches), filters, 1, "aspp_mix")
    return layers.Add(name="aspp")([together, whole])


def scse(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    """Concurrent spatial and channel squeeze and excitation (Roy et al., https://arxiv.org/abs/1803.02579)."""
    channels = x.shape[-1]
    mean = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_mean")(x)
    squeezed = layers.Conv2D(max(1, channels // 2), 1, activation="relu", name=f"{name}_squeeze")(mean)
    by_channel = layers.Conv2D(channels, 1, activation="sigmoid", name=f"{name}_channels")(squeezed)  # (B, 1, 1, c)
    by_place = layers.Conv2D(1, 1, activation="sigmoid", name=f"{name}_places")(x)  # (B, h, w, 1)
    gate = layers.Add(name=f"{name}_gate")([by_channel, by_place])
    return layers.Multiply(name=name)([x, gate])


def conv(x: keras.KerasTensor, filters: int, kernel: int, name: str) -> keras.KerasTensor:
    """Convolution, batch norm, ReLU at the same size."""
    x = Conv2D(filters, kernel, padding="same", use_bias=False, name=f"{name}_conv")(x)
    return _norm_relu(x, name)


def _bridge(x: keras.KerasTensor, filters: int) -> keras.KerasTensor:
    """From the encoder's channels to the decoder's."""
    return conv(x, filters, 1, "bridge")


def _norm_relu(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    x = BatchNormalization(name=f"{name}_norm")(x)
    return layers.ReLU(name=f"{name}_relu")(x)
