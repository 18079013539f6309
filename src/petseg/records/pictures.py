"""One picture, from its encoded bytes to an example at the network's size: pure functions, whoever calls them.

tf.data maps them in one process, Apache Beam in many; so the shards have the same bytes from either.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from petseg.classes import IGNORE_LABEL
from petseg.datasets.source import Source
from petseg.errors import PetsegError
from petseg.records.example import Example
from petseg.records.labels import label_lookup


@dataclass(frozen=True)
class Photo:
    """What a data set says of a picture beside its pixels."""

    file_name: str
    breed: str
    species: str
    encoded_mask: bytes  # at the photo's own size, as the source has it


def prepare(image: tf.Tensor, mask: tf.Tensor, size: int, first_label: int, classes: int) -> dict[str, tf.Tensor]:
    """What an example needs of an encoded image () and its encoded mask (), and what `check` needs.

    image (size, size, 3) uint8, mask (size, size) uint8 of class indices, image_shape and mask_shape (2,) int32 of the
    originals, unknown () int32 by `unknown_label`. What can't be decoded is an InvalidArgumentError.
    """
    decoded = tf.io.decode_image(image, channels=3, expand_animations=False)  # (height, width, 3)
    labels = tf.io.decode_image(mask, channels=1, expand_animations=False)  # (height, width, 1)
    decoded.set_shape([None, None, 3])
    labels.set_shape([None, None, 1])
    lookup = tf.constant(label_lookup(first_label, classes))
    return {
        "image_shape": tf.shape(decoded)[:2],
        "mask_shape": tf.shape(labels)[:2],
        "unknown": unknown_label(labels, first_label, classes),
        "image": resize_image(decoded, size),
        "mask": tf.gather(lookup, tf.cast(resize_mask(labels, size), tf.int32)),
    }


def unknown_label(mask: tf.Tensor, first_label: int, classes: int) -> tf.Tensor:
    """The largest value of a mask (H, W, 1) uint8 that is neither a class nor "ignore", () int32; -1 if all are."""
    in_range = mask - tf.constant(first_label, tf.uint8) < tf.constant(classes, tf.uint8)  # what is less wraps around
    unknown = tf.logical_not(in_range | (mask == IGNORE_LABEL))
    largest = tf.reduce_max(tf.where(unknown, mask, tf.constant(0, tf.uint8)))
    return tf.where(tf.reduce_any(unknown), tf.cast(largest, tf.int32), -1)


def resize_image(image: tf.Tensor, size: int) -> tf.Tensor:
    """(H, W, 3) uint8 to (size, size, 3) uint8: bilinear with antialiasing, aspect ratio not kept."""
    resized = tf.image.resize(image, [size, size], method="bilinear", antialias=True)
    return tf.cast(tf.clip_by_value(tf.round(resized), 0, 255), tf.uint8)


def resize_mask(mask: tf.Tensor, size: int) -> tf.Tensor:
    """(H, W, 1) uint8 to (size, size) uint8 by nearest neighbour, so that no label is made up."""
    return tf.image.resize(mask, [size, size], method="nearest")[..., 0]


def check(name: str, prepared: Mapping[str, Any], source: Source) -> None:
    """Raises PetsegError if a prepared picture (as numpy values) has a mask of another size or with another label."""
    if tuple(prepared["image_shape"]) != tuple(prepared["mask_shape"]):
        raise PetsegError(f"The mask of {name} has another size than its picture; a mask must have its picture's size.")
    if prepared["unknown"] >= 0:
        last = source.first_label + len(source.class_names) - 1
        raise PetsegError(
            f"The mask of {name} holds the label {prepared['unknown']}, but labels are {source.first_label} to {last} "
            f"({', '.join(source.class_names)}) and {IGNORE_LABEL} (ignore)."
        )


def undecodable(name: str) -> PetsegError:
    """What an InvalidArgumentError of `prepare` means."""
    return PetsegError(f"The picture {name} or its mask can't be decoded; mend it or take it out.")


def make_example(index: int, split: str, photo: Photo, prepared: Mapping[str, Any]) -> Example:
    """The example of a prepared and checked picture; the train split does without masks at the photos' own size."""
    height, width = map(int, prepared["image_shape"])
    return Example(
        index=index,
        file_name=photo.file_name,
        breed=photo.breed,
        species=photo.species,
        height=height,
        width=width,
        image=prepared["image"],
        mask=prepared["mask"],
        original_mask=b"" if split == "train" else photo.encoded_mask,
    )
