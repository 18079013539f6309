"""Small data sets drawn by code: folders in both layouts, archives, prepared data."""

import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from PIL import Image

from petseg.config.data_params import DatasetParams
from petseg.config.params import parse_params
from petseg.datasets.synthetic.draw import draw_pet
from petseg.raw import open_split, read_dataset_info
from support.project import with_values


def examples(raw: Path, split: str) -> tuple[dict[str, Any], Any]:
    """Return the examples of a split by file name, and TFDS's info."""
    dataset, info = open_split(raw, read_dataset_info(raw), split)
    return {e["file_name"].decode(): e for e in dataset.as_numpy_iterator()}, info


def decoded(encoded: bytes, channels: int) -> Any:
    """Decode an encoded image to (H, W, channels) uint8."""
    return tf.io.decode_image(encoded, channels=channels, expand_animations=False).numpy()


def folder_params(default_params: dict[str, Any], path: Path, **values: Any) -> DatasetParams:
    """Return parameters for a folder of the user's own images."""
    settings = {
        "dataset.name": "folder",
        "dataset.folder.path": str(path),
        "dataset.folder.test_fraction": 0.5,
    }
    return parse_params(with_values(default_params, {**settings, **values})).dataset


def save(array: NDArray[np.uint8], path: Path, **options: Any) -> None:
    """Write an image, in the format that its name says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)


def draw_oxford_folder(root: Path, size: int = 40) -> Path:
    """Draw a folder in the Oxford layout: three images for training, two for testing."""
    lists = {
        "trainval": ["Abyssinian_1", "beagle_2", "beagle_3"],
        "test": ["Abyssinian_7", "beagle_8"],
    }
    for index, name in enumerate(name for names in lists.values() for name in names):
        image, trimap, _ = draw_pet(0, index, size)
        save(image, root / "images" / f"{name}.jpg")
        save(trimap, root / "annotations" / "trimaps" / f"{name}.png")
    for split, names in lists.items():
        lines = [
            f"{name} {1 if name[0] == 'A' else 5} {1 if name[0] == 'A' else 2} 1\n"
            for name in names
        ]
        (root / "annotations" / f"{split}.txt").write_text("".join(lines))
    return root


def draw_masks_folder(root: Path) -> Path:
    """Draw images and masks of two classes: subfolders, palette masks, an image with alpha."""
    for index in range(6):
        image, trimap, _ = draw_pet(0, index, 40)
        mask = np.where(trimap == 3, 255, trimap % 2).astype(np.uint8)
        breed = "beagle" if index % 2 else "pug"
        alpha = np.dstack([image, np.full(image.shape[:2], 128, np.uint8)])
        save(alpha if index == 0 else image, root / "images" / breed / f"{index}.png")
        image_of_mask = Image.fromarray(mask, "P")
        image_of_mask.putpalette(
            [value for gray in range(256) for value in (gray, 255 - gray if gray else 0, 0)]
        )
        target = root / "masks" / breed / f"{index}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        image_of_mask.save(target)
    return root


def pack(root: Path, archives: Path) -> None:
    """Pack a folder in the Oxford layout into the two archives of the data set."""
    archives.mkdir(parents=True, exist_ok=True)
    for name in ("images", "annotations"):
        with tarfile.open(archives / f"{name}.tar.gz", "w") as archive:  # a plain tar, as published
            archive.add(root / name, name)
