"""A user's folder as a TFDS builder."""

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from numpy.typing import NDArray

from petseg.core.errors import PetsegError
from petseg.core.geometry import MAX_TILED_PIXELS
from petseg.datasets.features import example_features
from petseg.datasets.folder.index import FolderItem
from petseg.datasets.folder.scan import FolderScan
from petseg.images.reading import ImageFacts, read_rgb


class Folder(tfds.core.GeneratorBasedBuilder):
    """The splits of a scanned folder without problems."""

    VERSION = tfds.core.Version("2.0.0")

    def __init__(self, *, scan: FolderScan, **kwargs: Any) -> None:
        self._scan = scan
        super().__init__(**kwargs)

    def _info(self) -> tfds.core.DatasetInfo:
        index = self._scan.index
        features = example_features(index.categories, index.supercategories)
        return tfds.core.DatasetInfo(builder=self, features=features)

    def _split_generators(
        self, dl_manager: tfds.download.DownloadManager
    ) -> dict[str, Iterator[Any]]:
        splits = self._scan.index.splits
        return {split: self._generate_examples(items) for split, items in splits.items()}

    def _generate_examples(self, items: list[FolderItem]) -> Iterator[tuple[str, dict[str, Any]]]:
        for item in items:
            facts = self._scan.items[item.name].facts
            if facts is None:
                raise PetsegError(f"{item.image} can't be read.")
            example = {
                "image": read_example_image(item, facts),
                "label": item.category,
                "species": item.supercategory,
                "file_name": item.name,
                "segmentation_mask": self._scan.read_labels(item)[..., None],
            }
            yield item.name, example


def read_example_image(item: FolderItem, facts: ImageFacts) -> io.BytesIO | NDArray[np.uint8]:
    """Return a plain JPEG as its bytes, which saves encoding it again, and others as pixels."""
    if facts.plain_jpeg:
        return io.BytesIO(item.image.read_bytes())
    return np.asarray(read_rgb(item.image, max_pixels=MAX_TILED_PIXELS))
