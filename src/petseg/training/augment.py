"""Random changes to training images and their masks, as pure functions of random numbers.

The numbers are stateless, keyed by (seed, epoch, the image's index): an image in an epoch is
changed in the same way on every machine, in any order, and after a restart. The whole batch goes
through one geometric transform (flip, crop, zoom and rotation together) and one affine map of the
colors.
"""

import math

import tensorflow as tf

from petseg.config.train_params import AugmentParams
from petseg.core.labels import IGNORE_LABEL

_GRAY = 127.5
_LUMA = (0.299, 0.587, 0.114)  # weights of red, green and blue (ITU-R BT.601)

NUM_DRAWS = 8
"""Numbers per image: flip, crop size, crop x, crop y, angle, brightness, contrast, saturation."""


def draw_uniform(seed: int, epoch: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
    """Draw uniform numbers in [0, 1), (B, NUM_DRAWS) float32, for epoch () and index (B,) int64."""
    epoch_key = tf.random.fold_in(tf.constant([seed, 0], tf.int64), epoch, alg="philox")

    def draw(image_index: tf.Tensor) -> tf.Tensor:
        key = tf.random.fold_in(epoch_key, image_index, alg="philox")
        return tf.random.stateless_uniform([NUM_DRAWS], key, alg="philox")

    return tf.map_fn(draw, index, fn_output_signature=tf.float32)


def augment(
    image: tf.Tensor, mask: tf.Tensor, draws: tf.Tensor, params: AugmentParams
) -> tuple[tf.Tensor, tf.Tensor]:
    """Augment image (B, H, W, 3) uint8 and mask (B, H, W) uint8, to float32 of 0..255 and uint8.

    draws is (B, NUM_DRAWS). Areas that a rotation or zooming out uncovers are gray in the image and
    "ignore" in the mask.
    """
    return change_pixels(image, mask, geometry(draws, params, tf.shape(image)[1:3]), draws, params)


def change_pixels(
    image: tf.Tensor,
    mask: tf.Tensor,
    transforms: tf.Tensor,
    draws: tf.Tensor,
    params: AugmentParams,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Do the part of `augment` that is worth a GPU, for the transforms (B, 8) from `geometry`."""
    warp = project if params.rotation or params.crop_scale[1] > 1 else crop_and_resize
    image = warp(tf.cast(image, tf.float32), transforms, "bilinear", _GRAY)
    mask = warp(mask[..., None], transforms, "nearest", float(IGNORE_LABEL))
    return change_colors(image, draws, params), tf.cast(mask, tf.uint8)[..., 0]


def geometry(draws: tf.Tensor, params: AugmentParams, size: tf.Tensor) -> tf.Tensor:
    """Return the projective transforms (B, 8) of flip, crop and rotation.

    They map output to input pixels. size is (H, W).
    """
    height, width = tf.cast(size[0], tf.float32), tf.cast(size[1], tf.float32)
    flip, crop, crop_x, crop_y, rotation = tf.unstack(draws[:, :5], axis=1)
    mirror = tf.where((flip < 0.5) & params.flip, -1.0, 1.0)
    smallest, largest = params.crop_scale
    scale = smallest + (largest - smallest) * crop
    angle = (2 * rotation - 1) * math.radians(params.rotation)

    # Relative to the center, an output pixel is mirrored, scaled, rotated, then moved by the crop.
    cos, sin = tf.cos(angle) * scale, tf.sin(angle) * scale
    center_x, center_y = (width - 1) / 2, (height - 1) / 2
    move_x = (2 * crop_x - 1) * (1 - scale) * center_x
    move_y = (2 * crop_y - 1) * (1 - scale) * center_y
    a, b = cos * mirror, -sin
    c, d = sin * mirror, cos
    x0 = center_x + move_x - a * center_x - b * center_y
    y0 = center_y + move_y - c * center_x - d * center_y
    zero = tf.zeros_like(a)
    return tf.stack([a, b, x0, c, d, y0, zero, zero], axis=1)


def project(images: tf.Tensor, transforms: tf.Tensor, method: str, fill: float) -> tf.Tensor:
    """Apply transforms (B, 8) to images (B, H, W, C). Pixels from outside an image are `fill`."""
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
    """Do what `project` does for crops inside the image without rotation, in half the time."""
    images = tf.cast(images, tf.float32)  # on a GPU it takes no uint8
    num_images, size = tf.shape(images)[0], tf.shape(images)[1:3]
    height, width = tf.unstack(tf.cast(size - 1, tf.float32))
    x0, y0 = transforms[:, 2] / width, transforms[:, 5] / height
    boxes = tf.stack([y0, x0, y0 + transforms[:, 4], x0 + transforms[:, 0]], axis=1)
    return tf.image.crop_and_resize(images, boxes, tf.range(num_images), size, method, fill)


def change_colors(image: tf.Tensor, draws: tf.Tensor, params: AugmentParams) -> tf.Tensor:
    """Change the brightness, contrast and saturation of images (B, H, W, 3) float32 of 0..255.

    Contrast is relative to the image's mean, saturation to each pixel's gray.
    """
    if not (params.brightness or params.contrast or params.saturation):
        return image
    brightness, contrast, saturation = tf.unstack(2 * draws[:, 5:8] - 1, axis=1)  # (B,) of -1..1
    shift = 255 * params.brightness * brightness
    contrast = 1 + params.contrast * contrast
    saturation = (1 + params.saturation * saturation)[:, None, None]

    pixels = tf.reshape(image, [tf.shape(image)[0], -1, 3])
    mean = tf.reduce_sum(tf.reduce_mean(pixels, axis=1) * _LUMA, axis=-1)  # (B,)
    to_gray = tf.constant(_LUMA)[:, None]  # times a pixel (3,): its gray in each channel
    matrix = saturation * tf.eye(3) + (1 - saturation) * to_gray  # (B, 3, 3)
    offset = (1 - contrast) * mean + shift
    pixels = tf.matmul(pixels, contrast[:, None, None] * matrix) + offset[:, None, None]
    return tf.reshape(tf.clip_by_value(pixels, 0, 255), tf.shape(image))
