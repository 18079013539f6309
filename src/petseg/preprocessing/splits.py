"""Which split a picture belongs to: draws by hash that look at this picture alone."""

from petseg.config.params import PreprocessParams
from petseg.core.hashing import unit_hash


def split_of(
    tfds_split: str, file_name: str, category: str, params: PreprocessParams, seed: int
) -> str | None:
    """train, val or test for a picture of the data set's own split (train or test); None if it isn't used."""
    if tfds_split == "test":
        return "test"
    if is_validation(file_name, category, params.val_fraction, seed):
        return "val"
    return "train" if is_used(file_name, category, params.train_fraction, seed) else None


def is_validation(file_name: str, category: str, val_fraction: float, seed: int) -> bool:
    """Whether a training picture is kept for validation.

    The draw is made for each category apart by a hash of the file name, and looks at nothing else: so adding or removing
    pictures moves no other, and each category gives `val_fraction` of its pictures on average. (An exact quota per category
    can't have the first property: a picture more would push another over the line.)
    """
    return unit_hash("val", seed, category, file_name) < val_fraction


def is_used(file_name: str, category: str, train_fraction: float, seed: int) -> bool:
    """Whether a training picture that is not for validation is trained on, drawn likewise."""
    return unit_hash("train", seed, category, file_name) < train_fraction
