"""A folder of one's own as a TFDS builder; `listing.py` tells which pictures it holds."""

from collections.abc import Iterator
from typing import Any

import tensorflow_datasets as tfds

from petseg.core.errors import PetsegError
from petseg.datasets.features import example_features
from petseg.datasets.folder_index import FolderIndex, FolderItem
from petseg.image_io import read_image, read_mask


class Folder(tfds.core.GeneratorBasedBuilder):
    """Splits train and test of a listed folder."""

    VERSION = tfds.core.Version("1.0.0")

    def __init__(self, *, listing: FolderIndex, **kwargs: Any) -> None:
        self._listing = listing
        super().__init__(**kwargs)

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            features=example_features(self._listing.categories, self._listing.supercategories),
        )

    def _split_generators(
        self, dl_manager: tfds.download.DownloadManager
    ) -> dict[str, Iterator[Any]]:
        return {
            split: self._generate_examples(items) for split, items in self._listing.splits.items()
        }

    def _generate_examples(self, items: list[FolderItem]) -> Iterator[tuple[str, dict[str, Any]]]:
        for item in items:
            image, (width, height) = read_image(item.image)
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
                    "label": item.category,
                    "species": item.supercategory,
                    "file_name": item.name,
                    "segmentation_mask": mask[..., None],
                },
            )
