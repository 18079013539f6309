"""Assign each image to a split by hashing, independently of all other images."""

import math
from collections.abc import Iterable

from petseg.config.data_params import PreprocessParams
from petseg.core.hashing import NO_GROUP, group_of, unit_hash


def split_of(
    raw_split: str,
    file_name: str,
    category: str,
    params: PreprocessParams,
    seed: int,
    *,
    has_val: bool = False,
    group: str = NO_GROUP,
) -> str | None:
    """Return train, val or test for an image of a split of the data set.

    If the data set has a validation split (`has_val`), none is drawn from train. `group` is a
    pattern whose match in the file name is drawn instead of the image. Returns None if
    `train_fraction` leaves the image out.
    """
    if raw_split != "train":
        return raw_split
    name, category = hashed_names(file_name, category, group)
    if not has_val and is_validation(name, category, params.val_fraction, seed):
        return "val"
    return "train" if is_used(name, category, params.train_fraction, seed) else None


def is_validation(file_name: str, category: str, val_fraction: float, seed: int) -> bool:
    """Whether a training image is held out for validation.

    The hash of category and file name decides, and nothing else: adding or removing images never
    moves another image, and each category gives `val_fraction` of its images on average. (An exact
    quota per category would lack the first property: one more image would push out another.)
    """
    return _val_hash(file_name, category, seed) < val_fraction


def _val_hash(file_name: str, category: str, seed: int) -> float:
    return unit_hash("val", seed, category, file_name)


def widen_val_fraction(
    images: Iterable[tuple[str, str]], val_fraction: float, seed: int, group: str = NO_GROUP
) -> float:
    """Return a fraction that draws at least one of the training images (file name, category).

    It is `val_fraction` unless that draws none, as it may with few images, or unless it would draw
    all. Images are read up to the first that is drawn.
    """
    hashes = set()
    for file_name, category in images:
        number = _val_hash(*hashed_names(file_name, category, group), seed)
        if number < val_fraction:
            return val_fraction
        hashes.add(number)
    return math.nextafter(min(hashes), 1) if len(hashes) > 1 else val_fraction


def is_used(file_name: str, category: str, train_fraction: float, seed: int) -> bool:
    """Whether a training image that isn't held out is used; a different hash decides."""
    return unit_hash("train", seed, category, file_name) < train_fraction


def hashed_names(file_name: str, category: str, group: str) -> tuple[str, str]:
    """Return the name and the category whose hash decides about an image."""
    if group == NO_GROUP:
        return file_name, category
    return group_of(file_name, group), ""  # one group may have several categories
