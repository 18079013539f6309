"""What the log and the report say about the splits, and when a split can't be used."""

from collections.abc import Mapping

from petseg.config.data_params import PreprocessParams
from petseg.core.errors import PetsegError
from petseg.preprocessing.tiling import describe_tiles
from petseg.preprocessing.writer import FittingStats
from petseg.shards.manifest import Manifest, Split


def describe_splits(
    splits: Mapping[str, Split],
    totals: Mapping[str, int],
    fitting: FittingStats,
    params: PreprocessParams,
    drawn_fraction: float,
) -> list[str]:
    """Return what was drawn, left out, cut and padded here.

    `totals` are the data set's own numbers of examples, `fitting` is of all splits, and
    `drawn_fraction` is val_fraction, or more if that draws none.
    """
    notes = []
    train, val = splits["train"].num_images, splits["val"].num_images
    if "val" not in totals:
        notes.append(
            f"No validation split in the data: {val} of {totals['train']} training images are "
            f"drawn by a hash of their names (preprocess.val_fraction {params.val_fraction}"
            f"{'' if drawn_fraction == params.val_fraction else ', which alone draws none'})."
        )
    if left_out := totals["train"] - train - (0 if "val" in totals else val):
        notes.append(
            f"{left_out} of {totals['train']} training images are left out "
            f"(preprocess.train_fraction {params.train_fraction})."
        )
    notes += [note for name in ("val", "test") if (note := _note_missing_classes(name, splits))]
    num_images = sum(split.num_images for split in splits.values())
    if params.tiles:
        return [*notes, *describe_tiles(splits, fitting.changed, params.tiles)]
    fitted = f"{fitting.changed} of {num_images} images don't have the network's shape"
    if cut := fitting.cut:
        notes.append(
            f"{fitted}: what is beyond their centers, {cut / fitting.original:.1%} of all "
            f"pixels, is neither trained on nor scored (preprocess.resize {params.resize})."
        )
    if padding := fitting.padding:
        share = padding / (num_images * params.image_size.num_pixels)
        notes.append(
            f"{fitted}: they are padded with gray, {share:.1%} of all pixels, which counts as "
            f"ignored (preprocess.resize {params.resize})."
        )
    return notes


def _note_missing_classes(name: str, splits: Mapping[str, Split]) -> str | None:
    pixels = splits[name].pixels
    missing = [repr(label) for label, count in pixels.items() if not count and label != "ignored"]
    if not missing:
        return None
    return (
        f"The {name} split has no pixels of {' or '.join(missing)}. The IoU there is undefined, or "
        "0 if a model predicts the class, which lowers the mean IoU."
    )


def check_splits(manifest: Manifest, params: PreprocessParams) -> None:
    """Raise PetsegError if a split is empty or unlabeled, or if training lacks a class."""
    for name, split in manifest.splits.items():
        if split.num_examples == 0:
            raise PetsegError(_empty_split_message(name, params))
        if sum(split.pixels.values()) == split.pixels["ignored"]:
            raise PetsegError(
                f"No pixel in the masks of the {name} split belongs to a class; label some images."
            )
    pixels = manifest.splits["train"].pixels
    if missing := [repr(name) for name in manifest.class_names if pixels[name] == 0]:
        raise PetsegError(
            f"No mask of the train split contains {' or '.join(missing)} ({pixels['ignored']} of "
            f"{sum(pixels.values())} pixels belong to no class); add images with it, or take it "
            "out of dataset.folder.classes."
        )


def _empty_split_message(split: str, params: PreprocessParams) -> str:
    if split != "train":
        return f"The {split} split is empty; add images to it."
    fractions = f"preprocess.val_fraction {params.val_fraction}"
    if params.train_fraction < 1:
        fractions += f" and preprocess.train_fraction {params.train_fraction}"
    return f"The train split is empty with {fractions}; change it or add images."
