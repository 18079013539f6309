"""The U-Net: an encoder that shrinks the image, a decoder that enlarges what it found, and bridges between the two.

At each stride the decoder enlarges its features bilinearly, lays the encoder's features of that size beside them (the
skip connection), and mixes both with two separable convolutions. At full size the skip connection is a convolution of
the image itself. The head turns the last features into one logit per class and pixel.
"""

from dataclasses import asdict, dataclass
from typing import Any

import keras
from keras import layers

from petseg.model.encoder import ENCODERS, STRIDES, build_encoder

_IMAGE_SKIP_FILTERS = 16


@dataclass(frozen=True)
class Architecture:
    """All that it takes to build the network again."""

    encoder: str
    alpha: float
    decoder_filters: tuple[int, ...]  # at strides 16, 8, 4, 2, 1
    classes: int

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def build_unet(architecture: Architecture) -> keras.Model:
    """Images (B, H, W, 3) of 0..255, H and W multiples of 32, to logits (B, H, W, classes)."""
    kind = ENCODERS[architecture.encoder]
    images = keras.Input((None, None, 3), name="image")
    scaled = layers.Rescaling(kind.scale, kind.offset, name="scale")(images)
    encoder = build_encoder(architecture.encoder, architecture.alpha)
    *skips, deepest = encoder(scaled)  # (B, H/2, W/2, .), ... (B, H/32, W/32, .)

    image_skip = conv(scaled, _IMAGE_SKIP_FILTERS, 3, "image_skip")  # (B, H, W, 16)
    x = conv(deepest, architecture.decoder_filters[0], 1, "bridge")  # (B, H/32, W/32, first)
    bridges = [*reversed(skips), image_skip]
    for stride, skip, filters in zip((*reversed(STRIDES[:-1]), 1), bridges, architecture.decoder_filters, strict=True):
        x = decoder_block(x, skip, filters, convolutions=2 if stride > 1 else 1, name=f"decoder_{stride}")
    logits = layers.Conv2D(architecture.classes, 1, dtype="float32", name="head")(x)  # (B, H, W, classes)
    return keras.Model(images, logits, name="unet")


def decoder_block(
    x: keras.KerasTensor, skip: keras.KerasTensor, filters: int, convolutions: int, name: str
) -> keras.KerasTensor:
    """Enlarge x (B, h, w, c) twofold, lay the skip (B, 2h, 2w, s) beside it, mix: (B, 2h, 2w, filters)."""
    x = layers.UpSampling2D(interpolation="bilinear", name=f"{name}_up")(x)
    x = layers.Concatenate(name=f"{name}_skip")([x, skip])
    for i in range(convolutions):
        x = layers.SeparableConv2D(filters, 3, padding="same", use_bias=False, name=f"{name}_conv{i}")(x)
        x = layers.BatchNormalization(name=f"{name}_norm{i}")(x)
        x = layers.ReLU(name=f"{name}_relu{i}")(x)
    return x


def conv(x: keras.KerasTensor, filters: int, kernel: int, name: str) -> keras.KerasTensor:
    """Convolution, batch norm, ReLU at the same size."""
    x = layers.Conv2D(filters, kernel, padding="same", use_bias=False, name=f"{name}_conv")(x)
    x = layers.BatchNormalization(name=f"{name}_norm")(x)
    return layers.ReLU(name=f"{name}_relu")(x)
