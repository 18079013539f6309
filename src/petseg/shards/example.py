"""Serialize examples for TFRecord files, and parse them.

Image and mask are stored as raw uint8 rather than PNG or JPEG: parsing them costs almost nothing,
so training streams from the shards without an in-memory cache.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from petseg.core.errors import PetsegError
from petseg.core.geometry import ImageSize
from petseg.core.labels import IGNORE_LABEL
from petseg.shards.label_map import UNKNOWN_LABEL

_STRING_FEATURES = ("file_name", "category", "supercategory")
_INT_FEATURES = ("index", "height", "width")
_POSITION_FEATURES = ("top", "left")  # of a tile


@dataclass(frozen=True)
class Example:
    """An image and its mask at the network's input size, with metadata of the original."""

    index: int  # position in its split; seeds the random choices of augmentation
    file_name: str
    category: str
    supercategory: str
    height: int  # of the original image, in pixels
    width: int
    image: NDArray[np.uint8]  # (H, W, 3) RGB
    mask: NDArray[np.uint8]  # (H, W) class indices, 255 = ignore
    # PNG (height, width) with the label values of the data set; empty in the train split
    original_mask: bytes = b""
    # Of a tile: its first row and column in the original image. An image's first tile has the
    # original mask of the whole image.
    position: tuple[int, int] | None = None
    # Not stored: how many pixels of the original are cut off, and how many are padding around it.
    num_cut: int = 0
    num_padding: int = 0


def serialize(example: Example) -> bytes:
    """Return the bytes of a tf.train.Example; equal examples give equal bytes."""
    message = tf.train.Example()
    feature = message.features.feature
    for key in _STRING_FEATURES:
        feature[key].bytes_list.value.append(getattr(example, key).encode())
    for key in _INT_FEATURES:
        feature[key].int64_list.value.append(getattr(example, key))
    for key, value in zip(_POSITION_FEATURES, example.position or (), strict=False):
        feature[key].int64_list.value.append(value)
    feature["image"].bytes_list.value.append(example.image.tobytes())
    feature["mask"].bytes_list.value.append(example.mask.tobytes())
    feature["original_mask"].bytes_list.value.append(example.original_mask)
    return bytes(message.SerializeToString(deterministic=True))


def parse_pixels(
    serialized: tf.Tensor, image_size: ImageSize, num_classes: int
) -> dict[str, tf.Tensor]:
    """Parse what training needs.

    Returns index (B,) int64, image (B, H, W, 3) uint8 and mask (B, H, W) uint8. Like
    `parse_example`, raises InvalidArgumentError for a label that is neither a class index nor
    IGNORE_LABEL.
    """
    keys = {"index": tf.int64, "image": tf.string, "mask": tf.string}
    parsed = tf.io.parse_example(
        serialized, {key: tf.io.FixedLenFeature([], dtype) for key, dtype in keys.items()}
    )
    return {"index": parsed["index"], **_decode_pixels(parsed, image_size, num_classes)}


def parse_example(
    serialized: tf.Tensor, image_size: ImageSize, num_classes: int, *, tiled: bool = False
) -> dict[str, tf.Tensor]:
    """Parse every field of a batch. Pixels are decoded; `original_mask` (B,) is still PNG.

    The fields of tiles include `top` and `left`.
    """
    strings = (*_STRING_FEATURES, "image", "mask", "original_mask")
    features = {key: tf.io.FixedLenFeature([], tf.string) for key in strings}
    features |= {key: tf.io.FixedLenFeature([], tf.int64) for key in _INT_FEATURES}
    if tiled:
        features |= {key: tf.io.FixedLenFeature([], tf.int64) for key in _POSITION_FEATURES}
    parsed = tf.io.parse_example(serialized, features)
    return {**parsed, **_decode_pixels(parsed, image_size, num_classes)}


def _decode_pixels(
    parsed: dict[str, tf.Tensor], size: ImageSize, num_classes: int
) -> dict[str, tf.Tensor]:
    # Not -1 in the reshapes below: images of another size must not be accepted silently.
    batch_size = tf.size(parsed["image"])
    image = tf.io.decode_raw(parsed["image"], tf.uint8)
    mask = tf.io.decode_raw(parsed["mask"], tf.uint8)
    without_ignored = tf.where(mask == IGNORE_LABEL, tf.constant(0, tf.uint8), mask)
    in_range = tf.debugging.assert_less(
        tf.cast(tf.reduce_max(without_ignored), tf.int32), num_classes, "a label is out of range"
    )
    with tf.control_dependencies([in_range]):
        mask = tf.reshape(mask, [batch_size, *size])
    return {"image": tf.reshape(image, [batch_size, *size, 3]), "mask": mask}


def decode_original_mask(fields: Mapping[str, Any], lookup: NDArray[np.int16]) -> NDArray[np.uint8]:
    """Return the mask (height, width) of class indices at the image's original size.

    `fields` is one example from `parse_example` as numpy values, `lookup` comes from
    `label_lookup`. Raises PetsegError if the mask is damaged.
    """
    name = fields["file_name"].decode()
    shape = int(fields["height"]), int(fields["width"])
    try:
        labels = tf.io.decode_png(fields["original_mask"], channels=1).numpy()[..., 0]
    except tf.errors.InvalidArgumentError:
        labels = np.empty(0, np.uint8)
    if labels.shape != shape or np.any((lookup == UNKNOWN_LABEL)[labels]):
        raise PetsegError(
            f"The original mask of {name} is damaged; run dvc checkout --force, then dvc repro."
        )
    return np.asarray(lookup.astype(np.uint8)[labels])
