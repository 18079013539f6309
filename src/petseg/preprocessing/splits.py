"""Assign each image to a split by hashing, independently of all other images."""

from petseg.config.params import PreprocessParams
from petseg.core.hashing import unit_hash


def split_of(
    tfds_split: str, file_name: str, category: str, params: PreprocessParams, seed: int
) -> str | None:
    """Return train, val or test for an image of the data set's train or test split.

    None if `train_fraction` leaves the image out.
    """
    if tfds_split == "test":
        return "test"
    if is_validation(file_name, category, params.val_fraction, seed):
        return "val"
    return "train" if is_used(file_name, category, params.train_fraction, seed) else None


def is_validation(file_name: str, category: str, val_fraction: float, seed: int) -> bool:
    """Whether a training image is held out for validation.

    The hash of category and file name decides, and nothing else: adding or removing images never
    moves another image, and each category gives `val_fraction` of its images on average. (An exact
    quota per category would lack the first property: one more image would push out another.)
    """
    return unit_hash("val", seed, category, file_name) < val_fraction


def is_used(file_name: str, category: str, train_fraction: float, seed: int) -> bool:
    """Whether a training image that isn't held out is used; a different hash decides."""
    return unit_hash("train", seed, category, file_name) < train_fraction
