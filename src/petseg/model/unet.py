"""The U-Net: a pretrained encoder, a decoder, and skip connections between the two.

Each decoder block upsamples its features, concatenates the encoder's features of that size (the
skip connection) and applies two separable convolutions. At full resolution the skip is a
convolution of the image itself. The head turns the last features into one logit per class and
pixel.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import keras
from keras import layers

from petseg.config.types import Encoder
from petseg.model.batch_norm import BatchNormalization
from petseg.model.encoder import ENCODERS, STRIDES, build_encoder
from petseg.model.folding import Conv2D, DepthwiseConv2D, SeparableConv2D, fold_batch_norms

_IMAGE_SKIP_FILTERS = 16


@dataclass(frozen=True)
class Architecture:
    """Everything needed to rebuild the network."""

    encoder: Encoder
    alpha: float  # width multiplier of the encoder
    decoder_filters: tuple[int, ...]  # at strides 16, 8, 4, 2, 1 below output_stride; may end early
    classes: int
    output_stride: int = 32  # of the encoder: 32 | 16
    input_upsampling: int = 1  # factor by which the encoder's input is enlarged: 1 | 2

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def build_unet(architecture: Architecture) -> keras.Model:
    """Build a network from images (B, H, W, 3) of 0..255 to logits (B, H, W, classes).

    H and W must be multiples of the output stride. With `input_upsampling` 2 the encoder sees the
    image at twice its size, which suits weights pretrained on larger images, and its features at
    stride 2 have the size of the mask. Whatever Keras's dtype policy, the image is scaled, the
    logits are computed and the decoder's features are upsampled in float32.
    """
    kind, filters = ENCODERS[architecture.encoder], architecture.decoder_filters
    full_precision = keras.config.floatx()
    images = keras.Input((None, None, 3), name="image")
    x = layers.Rescaling(kind.scale, kind.offset, dtype=full_precision, name="scale")(images)
    if architecture.input_upsampling > 1:
        x = layers.UpSampling2D(
            architecture.input_upsampling, interpolation="bilinear", name="upsample_image"
        )(x)
    encoder = build_encoder(architecture.encoder, architecture.alpha, architecture.output_stride)
    *features, deepest = encoder(x)  # (B, H/2, W/2, .), ... (B, H/32, W/32, .)
    skips = list(reversed(features))
    strides = decoder_strides(architecture.output_stride)
    if len(filters) == len(strides):
        skips.append(conv_norm_relu(x, _IMAGE_SKIP_FILTERS, 3, "image_skip"))  # (B, H, W, 16)

    x = conv_norm_relu(deepest, filters[0], 1, "projection")  # (B, H/32, W/32, filters[0])
    for stride, skip, width in zip(strides, skips, filters, strict=False):
        x = decoder_block(x, skip, width, 2 if stride > 1 else 1, f"decoder_{stride}")
    logits = layers.Conv2D(architecture.classes, 1, dtype=full_precision, name="head")(x)
    upsample_factor = strides[len(filters) - 1] // architecture.input_upsampling
    if upsample_factor > 1:
        logits = layers.UpSampling2D(
            upsample_factor, interpolation="bilinear", dtype=full_precision, name="upsample_logits"
        )(logits)
    network = keras.Model(images, logits, name="unet")  # (B, H, W, classes)
    fold_batch_norms(network)
    return network


def decoder_strides(output_stride: int) -> tuple[int, ...]:
    """Return the strides of the decoder blocks' outputs, the deepest block first."""
    return (*(stride for stride in reversed(STRIDES) if stride < output_stride), 1)


def decoder_block(
    x: keras.KerasTensor, skip: keras.KerasTensor, filters: int, num_convolutions: int, name: str
) -> keras.KerasTensor:
    """Upsample x (B, h, w, c), concatenate skip (B, 2h, 2w, s), convolve: (B, 2h, 2w, filters)."""
    # XLA refuses the gradient in float16 and bfloat16 (TensorFlow 2.21).
    x = layers.UpSampling2D(
        interpolation="bilinear", dtype=keras.config.floatx(), name=f"{name}_up"
    )(x)
    x = layers.Concatenate(name=f"{name}_skip")([x, skip])
    for i in range(num_convolutions):
        x = SeparableConv2D(filters, 3, padding="same", use_bias=False, name=f"{name}_conv{i}")(x)
        x = BatchNormalization(name=f"{name}_norm{i}")(x)
        x = layers.ReLU(name=f"{name}_relu{i}")(x)
    return x


def conv_norm_relu(x: keras.KerasTensor, filters: int, kernel: int, name: str) -> keras.KerasTensor:
    """Apply a convolution, a batch norm and ReLU, at the same size."""
    x = Conv2D(filters, kernel, padding="same", use_bias=False, name=f"{name}_conv")(x)
    x = BatchNormalization(name=f"{name}_norm")(x)
    return layers.ReLU(name=f"{name}_relu")(x)


def convolutions(network: keras.Model) -> Iterator[Any]:
    """Yield the convolutions of a network and its encoder. They hold all weights but batch norms'.

    Every batch norm follows one of them, and is folded into it.
    """
    return (
        layer
        for layer in (*network.get_layer("encoder").layers, *network.layers)
        if isinstance(layer, layers.Conv2D | DepthwiseConv2D | SeparableConv2D)
    )
