"""Random changes to training pictures: each a pure function of its numbers, image and mask in step.

The numbers are drawn without state, keyed by (seed, epoch, the picture's index): the same picture in the same epoch is
changed in the same way on every machine, in any order, and after a restart.

The whole batch goes through one geometric transform (flip, crop, enlargement and rotation together) and one affine map
of the colors.
"""

import math

import tensorflow as tf

from petseg.config.params import AugmentParams
from petseg.core.labels import IGNORE_LABEL

_GREY = 127.5
_LUMA = (0.299, 0.587, 0.114)  # of red, green and blue in a grey

DRAWS = 8
"""Uniform numbers per image: flip, crop size, crop x, crop y, angle, brightness, contrast, saturation."""


def draw_uniform(seed: int, epoch: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
    """Uniform numbers in [0, 1) for a batch: epoch () int64, index (B,) int64 to (B, DRAWS) float32."""
    epoch_key = tf.random.fold_in(tf.constant([seed, 0], tf.int64), epoch, alg="philox")

    def one(i: tf.Tensor) -> tf.Tensor:
        return tf.random.stateless_uniform(
            [DRAWS], tf.random.fold_in(epoch_key, i, alg="philox"), alg="philox"
        )

    return tf.map_fn(one, index, fn_output_signature=tf.float32)


def augment(
    image: tf.Tensor, mask: tf.Tensor, draws: tf.Tensor, params: AugmentParams
) -> tuple[tf.Tensor, tf.Tensor]:
    """Image (B, H, W, 3) uint8 and mask (B, H, W) uint8 to float32 of 0..255 and uint8, same shapes; draws (B, DRAWS).

    What a rotation or a crop larger than the picture uncovers is mid-grey in the image and "ignore" in the mask.
    """
    transforms = geometry(draws, params, tf.shape(image)[1:3])
    warp = project if params.rotation or params.crop_scale[1] > 1 else crop_and_resize
    image = warp(tf.cast(image, tf.float32), transforms, "bilinear", _GREY)
    mask = tf.cast(warp(mask[..., None], transforms, "nearest", float(IGNORE_LABEL)), tf.uint8)[
        ..., 0
    ]
    return change_colors(image, draws, params), mask


def geometry(draws: tf.Tensor, params: AugmentParams, size: tf.Tensor) -> tf.Tensor:
    """The projective transforms (B, 8), from output to input pixels, of flip, crop and rotation; size is (H, W)."""
    height, width = tf.cast(size[0], tf.float32), tf.cast(size[1], tf.float32)
    flip, crop, at_x, at_y, turn = tf.unstack(draws[:, :5], axis=1)
    mirror = tf.where((flip < 0.5) & params.flip, -1.0, 1.0)
    smallest, largest = params.crop_scale
    scale = smallest + (largest - smallest) * crop
    angle = (2 * turn - 1) * math.radians(params.rotation)

    # An output pixel is taken from its place relative to the middle: mirrored, shrunk, turned, then moved by the crop.
    cos, sin = tf.cos(angle) * scale, tf.sin(angle) * scale
    middle_x, middle_y = (width - 1) / 2, (height - 1) / 2
    move_x, move_y = (
        (2 * at_x - 1) * (1 - scale) * middle_x,
        (2 * at_y - 1) * (1 - scale) * middle_y,
    )
    a, b = cos * mirror, -sin
    c, d = sin * mirror, cos
    x0 = middle_x + move_x - a * middle_x - b * middle_y
    y0 = middle_y + move_y - c * middle_x - d * middle_y
    zero = tf.zeros_like(a)
    return tf.stack([a, b, x0, c, d, y0, zero, zero], axis=1)


def project(images: tf.Tensor, transforms: tf.Tensor, method: str, fill: float) -> tf.Tensor:
    """Apply transforms (B, 8) to images (B, H, W, C), with values of `fill` from outside."""
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=transforms,
        output_shape=tf.shape(images)[1:3],
        interpolation=method.upper(),
        fill_mode="CONSTANT",
        fill_value=fill,
    )


def crop_and_resize(
    images: tf.Tensor, transforms: tf.Tensor, method: str, fill: float
) -> tf.Tensor:
    """The same for crops within the picture, not rotated, in less than half the time; float32."""
    count, size = tf.shape(images)[0], tf.shape(images)[1:3]
    height, width = tf.unstack(tf.cast(size - 1, tf.float32))
    x0, y0 = transforms[:, 2] / width, transforms[:, 5] / height
    boxes = tf.stack([y0, x0, y0 + transforms[:, 4], x0 + transforms[:, 0]], axis=1)
    return tf.image.crop_and_resize(images, boxes, tf.range(count), size, method, fill)


def change_colors(image: tf.Tensor, draws: tf.Tensor, params: AugmentParams) -> tf.Tensor:
    """Brightness, contrast (about the picture's mean) and saturation (about each pixel's grey): float32 of 0..255."""
    if not (params.brightness or params.contrast or params.saturation):
        return image
    shift, stretch, vivid = tf.unstack(2 * draws[:, 5:8] - 1, axis=1)  # (B,) each
    pixels = tf.reshape(image, [tf.shape(image)[0], -1, 3])
    mean = tf.reduce_sum(tf.reduce_mean(pixels, axis=1) * _LUMA, axis=-1)  # (B,)
    saturation, contrast = (
        (1 + params.saturation * vivid)[:, None, None],
        1 + params.contrast * stretch,
    )
    mixed = (
        saturation * tf.eye(3) + (1 - saturation) * tf.constant(_LUMA)[:, None]
    )  # (B, 3, 3): the grey in all three
    moved = (1 - contrast) * mean + 255 * params.brightness * shift
    pixels = tf.matmul(pixels, contrast[:, None, None] * mixed) + moved[:, None, None]
    return tf.reshape(tf.clip_by_value(pixels, 0, 255), tf.shape(image))
