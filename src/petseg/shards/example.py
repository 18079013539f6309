"""One example to the bytes of a TFRecord and back.

Image and mask are kept as raw uint8, not as PNG or JPEG: reading them costs next to nothing, so training streams from
the shards and needs no cache in memory.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from petseg.core.errors import PetsegError
from petseg.core.labels import IGNORE_LABEL
from petseg.shards.label_map import UNKNOWN_LABEL

_TEXTS = ("file_name", "category", "supercategory")
_NUMBERS = ("index", "height", "width")


@dataclass(frozen=True)
class Example:
    """A picture at the network's size with its mask, and what it was before."""

    index: int  # position in its split; keys the random choices of augmentation
    file_name: str
    category: str
    supercategory: str
    height: int  # of the original picture, pixels
    width: int
    image: NDArray[np.uint8]  # (S, S, 3) RGB
    mask: NDArray[np.uint8]  # (S, S) class indices, 255 = ignore
    original_mask: bytes = (
        b""  # PNG (height, width) with the source's own values; empty in the train split
    )


def serialize(example: Example) -> bytes:
    """The bytes of a tf.train.Example; the same example gives the same bytes."""
    message = tf.train.Example()
    feature = message.features.feature
    for key in _TEXTS:
        feature[key].bytes_list.value.append(getattr(example, key).encode())
    for key in _NUMBERS:
        feature[key].int64_list.value.append(getattr(example, key))
    feature["image"].bytes_list.value.append(example.image.tobytes())
    feature["mask"].bytes_list.value.append(example.mask.tobytes())
    feature["original_mask"].bytes_list.value.append(example.original_mask)
    return bytes(message.SerializeToString(deterministic=True))


def parse_pixels(serialized: tf.Tensor, image_size: int, classes: int) -> dict[str, tf.Tensor]:
    """What training needs of a batch of examples: index (B,) int64, image (B, S, S, 3) and mask (B, S, S) uint8.

    A label that is neither a class index nor "ignore" is an InvalidArgumentError, here and below.
    """
    keys = {"index": tf.int64, "image": tf.string, "mask": tf.string}
    parsed = tf.io.parse_example(
        serialized, {key: tf.io.FixedLenFeature([], dtype) for key, dtype in keys.items()}
    )
    return {"index": parsed["index"], **_decode_pixels(parsed, image_size, classes)}


def parse_example(serialized: tf.Tensor, image_size: int, classes: int) -> dict[str, tf.Tensor]:
    """Every field of a batch of serialized examples, pixels decoded, `original_mask` (B,) still PNG."""
    features = {
        key: tf.io.FixedLenFeature([], tf.string)
        for key in (*_TEXTS, "image", "mask", "original_mask")
    }
    features |= {key: tf.io.FixedLenFeature([], tf.int64) for key in _NUMBERS}
    parsed = tf.io.parse_example(serialized, features)
    return {**parsed, **_decode_pixels(parsed, image_size, classes)}


def _decode_pixels(parsed: dict[str, tf.Tensor], size: int, classes: int) -> dict[str, tf.Tensor]:
    count = tf.size(
        parsed["image"]
    )  # pixels of another size must not pass for more or fewer pictures
    image = tf.io.decode_raw(parsed["image"], tf.uint8)
    mask = tf.io.decode_raw(parsed["mask"], tf.uint8)
    counted = tf.where(mask == IGNORE_LABEL, tf.constant(0, tf.uint8), mask)
    in_range = tf.debugging.assert_less(
        tf.cast(tf.reduce_max(counted), tf.int32), classes, "a label is out of range"
    )
    with tf.control_dependencies([in_range]):
        mask = tf.reshape(mask, [count, size, size])
    return {"image": tf.reshape(image, [count, size, size, 3]), "mask": mask}


def decode_original_mask(fields: Mapping[str, Any], lookup: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The mask (height, width) at the photo's own size of one example from `parse_example`, by `label_lookup`.

    Raises PetsegError if it isn't the mask that was written.
    """
    name, size = fields["file_name"].decode(), (int(fields["height"]), int(fields["width"]))
    try:
        mask = lookup[tf.io.decode_png(fields["original_mask"], channels=1)[..., 0].numpy()]
    except tf.errors.InvalidArgumentError:
        mask = np.empty(0, np.uint8)
    if mask.shape != size or np.any(mask == UNKNOWN_LABEL):
        raise PetsegError(
            f"The mask of {name} at the photo's own size is damaged; run dvc checkout --force, then dvc repro."
        )
    return np.asarray(mask)
