"""Pure functions that turn an encoded image and mask into an example at the network's input size.

tf.data maps them in one process and Apache Beam in many, so both write the same bytes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from petseg.core.errors import PetsegError
from petseg.core.geometry import (
    MAX_PIXELS,
    MAX_TILED_PIXELS,
    PADDING_GRAY,
    ImageSize,
    Resize,
    place,
)
from petseg.core.labels import IGNORE_LABEL
from petseg.raw import DatasetInfo
from petseg.shards.example import Example
from petseg.shards.label_map import UNKNOWN_LABEL, label_lookup


@dataclass(frozen=True)
class ImageMetadata:
    """What a data set records about an image besides its pixels."""

    file_name: str
    category: str
    supercategory: str
    encoded_mask: bytes  # at the image's original size, as it is in the data set


def decode_and_resize(
    image: tf.Tensor,
    mask: tf.Tensor,
    size: ImageSize,
    resize: Resize,
    first_label: int,
    num_classes: int,
) -> dict[str, tf.Tensor]:
    """Decode an encoded image () and its encoded mask (), check the labels, and resize both.

    Returns image (H, W, 3) uint8, mask (H, W) uint8 of class indices, image_shape and mask_shape
    (2,) int32 of the originals, labels_known () bool, and num_cut and num_padding () int32: the
    original's pixels that are cut off, and those around it. Raises InvalidArgumentError if one of
    them can't be decoded.
    """
    decoded = tf.io.decode_image(image, channels=3, expand_animations=False)  # (height, width, 3)
    labels = tf.io.decode_image(mask, channels=1, expand_animations=False)  # (height, width, 1)
    decoded.set_shape([None, None, 3])
    labels.set_shape([None, None, 1])
    lookup = tf.constant(label_lookup(first_label, num_classes).astype(np.uint8))
    height, width = tf.unstack(tf.shape(decoded)[:2])
    source, target = place(height, width, size, resize)
    fitted = fit(labels, size, resize, resize_mask, IGNORE_LABEL)
    return {
        "image_shape": tf.shape(decoded)[:2],
        "mask_shape": tf.shape(labels)[:2],
        "labels_known": labels_known(labels, first_label, num_classes),
        "num_cut": height * width - source.height * source.width,
        "num_padding": tf.constant(size.num_pixels) - target.height * target.width,
        "image": fit(decoded, size, resize, resize_image, PADDING_GRAY),
        "mask": tf.gather(lookup, tf.cast(fitted[..., 0], tf.int32)),
    }


def labels_known(mask: tf.Tensor, first_label: int, num_classes: int) -> tf.Tensor:
    """Whether each value of a mask (H, W, 1) uint8 is a class label or IGNORE_LABEL, () bool.

    Comparing takes a fraction of the time of a table lookup.
    """
    one = tf.constant(1, tf.uint8)
    first = tf.constant(first_label, tf.uint8)
    last = tf.constant(first_label + num_classes - 1, tf.uint8)
    too_large = mask + one > last + one  # IGNORE_LABEL is 255, so it wraps to 0
    too_small = mask < first
    return tf.logical_not(tf.reduce_any(too_large | too_small))


def fit(
    pixels: tf.Tensor,
    size: ImageSize,
    resize: Resize,
    resize_to: Callable[[tf.Tensor, Any], tf.Tensor],
    padding: int,
) -> tf.Tensor:
    """Fit pixels (h, w, C) into (H, W, C), by `resize_to` and with this value around them."""
    height, width = tf.unstack(tf.shape(pixels)[:2])
    source, target = place(height, width, size, resize)
    resized = resize_to(pixels[source.slices], (target.height, target.width))
    below = size.height - target.top - target.height
    right = size.width - target.left - target.width
    paddings = [[target.top, below], [target.left, right], [0, 0]]
    return tf.ensure_shape(tf.pad(resized, paddings, constant_values=padding), [*size, None])


def resize_image(image: tf.Tensor, size: Any) -> tf.Tensor:
    """Resize (h, w, 3) uint8 to (H, W, 3) uint8: bilinear, antialiased, any aspect ratio."""
    resized = tf.image.resize(image, size, method="bilinear", antialias=True)
    return tf.cast(tf.clip_by_value(tf.round(resized), 0, 255), tf.uint8)


def resize_mask(mask: tf.Tensor, size: Any) -> tf.Tensor:
    """Resize (h, w, 1) uint8 to (H, W, 1) uint8 by nearest neighbor, which adds no labels."""
    return tf.image.resize(mask, size, method="nearest")


def check_mask(
    metadata: ImageMetadata, decoded: Mapping[str, Any], dataset_info: DatasetInfo
) -> None:
    """Raise PetsegError if the size or a label of a mask is wrong.

    `decoded` is a result of `decode_and_resize` as numpy values.
    """
    name = metadata.file_name
    height, width = decoded["image_shape"]
    check_size(name, (height, width), MAX_TILED_PIXELS if "position" in decoded else MAX_PIXELS)
    mask_height, mask_width = decoded["mask_shape"]
    if (mask_height, mask_width) != (height, width):
        raise PetsegError(
            f"The mask of {name} is {mask_width}x{mask_height} pixels, but its image is "
            f"{width}x{height}; they must be the same size."
        )
    if not decoded["labels_known"]:
        mask = tf.io.decode_image(metadata.encoded_mask, channels=1, expand_animations=False)
        labels = mask.numpy()
        first, class_names = dataset_info.first_label, dataset_info.class_names
        unknown = labels[label_lookup(first, len(class_names))[labels] == UNKNOWN_LABEL]
        raise PetsegError(
            f"The mask of {name} contains the label {unknown.max()}, but labels are {first} to "
            f"{first + len(class_names) - 1} ({', '.join(class_names)}) and {IGNORE_LABEL} "
            "(ignore)."
        )


def check_size(file_name: str, shape: tuple[int, int], max_pixels: int) -> None:
    """Raise PetsegError if an image (height, width) is too large."""
    pixels = shape[0] * shape[1]
    if pixels > max_pixels:
        remedy = "set preprocess.tiles" if max_pixels < MAX_TILED_PIXELS else "cut it up"
        raise PetsegError(
            f"{file_name} has {pixels / 1e6:,.1f} megapixels, but must have at most "
            f"{max_pixels // 10**6}; {remedy}."
        )


def decode_error(file_name: str) -> PetsegError:
    """Return the error for an example that `decode_and_resize` can't decode."""
    return PetsegError(f"The image {file_name} or its mask can't be decoded; fix or remove it.")


def make_example(
    index: int, split: str, metadata: ImageMetadata, decoded: Mapping[str, Any]
) -> Example:
    """Make the example for a decoded and checked image, or for a tile of one.

    The train split omits original masks, and so do tiles except an image's first.
    """
    height, width = map(int, decoded["image_shape"])
    position = decoded.get("position")  # of a tile
    is_first = position in (None, (0, 0))
    return Example(
        index=index,
        file_name=metadata.file_name,
        category=metadata.category,
        supercategory=metadata.supercategory,
        height=height,
        width=width,
        image=decoded["image"],
        mask=decoded["mask"],
        original_mask=b"" if split == "train" or not is_first else metadata.encoded_mask,
        position=position,
        num_cut=int(decoded["num_cut"]),
        num_padding=int(decoded["num_padding"]),
    )
