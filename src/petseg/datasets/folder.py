"""A folder of one's own as a TFDS builder; `listing.py` tells which pictures it holds."""

from collections.abc import Iterator
from typing import Any

import tensorflow_datasets as tfds

from petseg.datasets.features import pet_features
from petseg.datasets.listing import Listed, Listing
from petseg.datasets.pictures import read_mask, read_picture
from petseg.errors import PetsegError


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
