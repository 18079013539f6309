"""A folder of one's own as a TFDS builder; `listing.py` tells which pictures it holds."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from numpy.typing import NDArray
from PIL import Image, ImageOps

from petseg.datasets.features import pet_features
from petseg.datasets.listing import Listed, Listing
from petseg.errors import PetsegError

_EXIF_ORIENTATION = 0x0112


class Folder(tfds.core.GeneratorBasedBuilder):
    """Splits train and test of a listed folder."""

    VERSION = tfds.core.Version("1.0.0")

    def __init__(self, *, listing: Listing, **kwargs: Any) -> None:
        self._listing = listing
        super().__init__(**kwargs)

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(builder=self, features=pet_features(self._listing.breeds, self._listing.species))

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator[Any]]:
        return {split: self._generate_examples(items) for split, items in self._listing.splits.items()}

    def _generate_examples(self, items: list[Listed]) -> Iterator[tuple[str, dict[str, Any]]]:
        for item in items:
            image, (width, height) = read_picture(item.image)
            mask = read_mask(item.mask)
            if mask.shape != (height, width):
                raise PetsegError(
                    f"{item.mask} is {mask.shape[1]}x{mask.shape[0]}, but its picture {item.image} is "
                    f"{width}x{height}; a mask must have its picture's size."
                )
            yield (
                item.name,
                {
                    "image": image,
                    "label": item.breed,
                    "species": item.species,
                    "file_name": item.name,
                    "segmentation_mask": mask[..., None],
                },
            )


def read_picture(path: Path) -> tuple[io.BytesIO | NDArray[np.uint8], tuple[int, int]]:
    """A picture as a viewer shows it (EXIF orientation respected), and its (width, height).

    A plain JPEG is returned as its own bytes, so that nothing is lost; anything else as an array (H, W, 3) uint8.
    """
    try:
        data = path.read_bytes()
        with Image.open(io.BytesIO(data)) as picture:
            plain = picture.format == "JPEG" and picture.mode in ("RGB", "L")
            upright = picture.getexif().get(_EXIF_ORIENTATION, 1) == 1
            picture.load()
            if plain and upright:
                return io.BytesIO(data), picture.size
            shown = ImageOps.exif_transpose(picture).convert("RGB")
            return np.asarray(shown), shown.size
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise PetsegError(f"{path} can't be read as a picture ({_reason(error)}); mend it or take it out.") from error


def read_mask(path: Path) -> NDArray[np.uint8]:
    """A mask (H, W) uint8 of the values in the file; a PNG with a palette gives its indices."""
    try:
        with Image.open(path) as picture:
            bands, values = len(picture.getbands()), np.asarray(picture)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise PetsegError(f"{path} can't be read as a mask ({_reason(error)}); mend it or take it out.") from error
    if bands != 1:
        raise PetsegError(
            f"{path} has {bands} channels, but a mask holds one label per pixel; save it as a grey or palette PNG."
        )
    if values.max() > 255 or values.min() < 0:
        raise PetsegError(f"{path} holds the label {values.max()}, but labels go from 0 to 255.")
    return values.astype(np.uint8)


def _reason(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).splitlines()[0]
