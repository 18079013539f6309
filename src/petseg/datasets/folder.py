"""A user's folder as a TFDS builder."""

from collections.abc import Iterator
from typing import Any

import tensorflow_datasets as tfds

from petseg.core.errors import PetsegError
from petseg.datasets.features import example_features
from petseg.datasets.folder_index import FolderIndex, FolderItem
from petseg.image_io import read_image, read_mask


class Folder(tfds.core.GeneratorBasedBuilder):
    """The train and test splits of an indexed folder."""

    VERSION = tfds.core.Version("1.0.0")

    def __init__(self, *, index: FolderIndex, **kwargs: Any) -> None:
        self._index = index
        super().__init__(**kwargs)

    def _info(self) -> tfds.core.DatasetInfo:
        features = example_features(self._index.categories, self._index.supercategories)
        return tfds.core.DatasetInfo(builder=self, features=features)

    def _split_generators(
        self, dl_manager: tfds.download.DownloadManager
    ) -> dict[str, Iterator[Any]]:
        splits = self._index.splits
        return {split: self._generate_examples(items) for split, items in splits.items()}

    def _generate_examples(self, items: list[FolderItem]) -> Iterator[tuple[str, dict[str, Any]]]:
        for item in items:
            image, (width, height) = read_image(item.image)
            mask = read_mask(item.mask)
            if mask.shape != (height, width):
                raise PetsegError(
                    f"{item.mask} is {mask.shape[1]}x{mask.shape[0]}, but its image {item.image} "
                    f"is {width}x{height}; a mask must be the same size as its image."
                )
            example = {
                "image": image,
                "label": item.category,
                "species": item.supercategory,
                "file_name": item.name,
                "segmentation_mask": mask[..., None],
            }
            yield item.name, example
