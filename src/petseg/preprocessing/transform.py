"""One picture, from its encoded bytes to an example at the network's size: pure functions, whoever calls them.

tf.data maps them in one process, Apache Beam in many; so the shards have the same bytes from either.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from petseg.core.errors import PetsegError
from petseg.core.labels import IGNORE_LABEL
from petseg.raw import DatasetInfo
from petseg.shards.example import Example
from petseg.shards.label_map import UNKNOWN_LABEL, label_lookup


@dataclass(frozen=True)
class Photo:
    """What a data set says of a picture beside its pixels."""

    file_name: str
    category: str
    supercategory: str
    encoded_mask: bytes  # at the photo's own size, as the source has it


def prepare(
    image: tf.Tensor, mask: tf.Tensor, size: int, first_label: int, classes: int
) -> dict[str, tf.Tensor]:
    """What an example needs of an encoded image () and its encoded mask (), and what `check` needs.

    image (size, size, 3) uint8, mask (size, size) uint8 of class indices, image_shape and mask_shape (2,) int32 of the
    originals, all_known () bool by `all_known`. What can't be decoded is an InvalidArgumentError.
    """
    decoded = tf.io.decode_image(image, channels=3, expand_animations=False)  # (height, width, 3)
    labels = tf.io.decode_image(mask, channels=1, expand_animations=False)  # (height, width, 1)
    decoded.set_shape([None, None, 3])
    labels.set_shape([None, None, 1])
    lookup = tf.constant(label_lookup(first_label, classes))
    return {
        "image_shape": tf.shape(decoded)[:2],
        "mask_shape": tf.shape(labels)[:2],
        "all_known": all_known(labels, first_label, classes),
        "image": resize_image(decoded, size),
        "mask": tf.gather(lookup, tf.cast(resize_mask(labels, size), tf.int32)),
    }


def all_known(mask: tf.Tensor, first_label: int, classes: int) -> tf.Tensor:
    """Whether each value of a mask (H, W, 1) uint8 is a class or "ignore", () bool; a few short passes over it."""
    last = tf.constant(first_label + classes - 1, tf.uint8)
    above = mask + tf.constant(1, tf.uint8) > last + tf.constant(
        1, tf.uint8
    )  # "ignore" is the largest: it wraps to 0
    below = mask < tf.constant(first_label, tf.uint8)
    return tf.logical_not(tf.reduce_any(above | below))


def resize_image(image: tf.Tensor, size: int) -> tf.Tensor:
    """(H, W, 3) uint8 to (size, size, 3) uint8: bilinear with antialiasing, aspect ratio not kept."""
    resized = tf.image.resize(image, [size, size], method="bilinear", antialias=True)
    return tf.cast(tf.clip_by_value(tf.round(resized), 0, 255), tf.uint8)


def resize_mask(mask: tf.Tensor, size: int) -> tf.Tensor:
    """(H, W, 1) uint8 to (size, size) uint8 by nearest neighbour, so that no label is made up."""
    return tf.image.resize(mask, [size, size], method="nearest")[..., 0]


def check(photo: Photo, prepared: Mapping[str, Any], dataset_info: DatasetInfo) -> None:
    """Raises PetsegError if a prepared picture (as numpy values) has a mask of another size or with another label."""
    name = photo.file_name
    if tuple(prepared["image_shape"]) != tuple(prepared["mask_shape"]):
        raise PetsegError(
            f"The mask of {name} has another size than its picture; a mask must have its picture's size."
        )
    if not prepared["all_known"]:
        labels = tf.io.decode_image(photo.encoded_mask, channels=1, expand_animations=False).numpy()
        lookup = label_lookup(dataset_info.first_label, len(dataset_info.class_names))
        last = dataset_info.first_label + len(dataset_info.class_names) - 1
        raise PetsegError(
            f"The mask of {name} holds the label {labels[lookup[labels] == UNKNOWN_LABEL].max()}, but labels are "
            f"{dataset_info.first_label} to {last} ({', '.join(dataset_info.class_names)}) and {IGNORE_LABEL} (ignore)."
        )


def undecodable(name: str) -> PetsegError:
    """What an InvalidArgumentError of `prepare` means."""
    return PetsegError(f"The picture {name} or its mask can't be decoded; fix or remove it.")


def make_example(index: int, split: str, photo: Photo, prepared: Mapping[str, Any]) -> Example:
    """The example of a prepared and checked picture; the train split does without masks at the photos' own size."""
    height, width = map(int, prepared["image_shape"])
    return Example(
        index=index,
        file_name=photo.file_name,
        category=photo.category,
        supercategory=photo.supercategory,
        height=height,
        width=width,
        image=prepared["image"],
        mask=prepared["mask"],
        original_mask=b"" if split == "train" else photo.encoded_mask,
    )
