"""What the images and annotations of a folder contain, and the table of classes that follows.

`FolderScan.read_labels` returns the mask of one image.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from petseg.core.errors import PetsegError
from petseg.datasets.folder.classes.class_table import ClassTable
from petseg.datasets.folder.classes.label_checks import FileLabels
from petseg.datasets.folder.classes.labels import Label, Size
from petseg.datasets.folder.index import FolderIndex, FolderItem
from petseg.images.reading import ImageFacts, turn_upright

TRANSPOSED = (5, 6, 7, 8)  # the EXIF orientations that exchange width and height


@dataclass(frozen=True)
class ItemScan:
    """What an image and its annotation contain; an error if one of them can't be read."""

    facts: ImageFacts | None = None
    image_error: str = ""
    labels_error: str = ""
    labels_size: Size = (0, 0)
    pixels: dict[Label, int] = field(default_factory=dict)  # by label
    colors: dict[Label, Label] = field(default_factory=dict)  # a palette's, by index
    edge: Label | None = None  # the only label at all four edges, by its index in a palette
    lossy: bool = False
    only_boxes: bool = False  # all its shapes are rectangles
    notes: tuple[str, ...] = ()  # what reading the annotation left out or guessed

    @property
    def fits(self) -> bool:
        """Whether the labels have the size of the image as a viewer shows it."""
        return self.facts is not None and self.labels_size == self.facts.size

    @property
    def fits_turned(self) -> bool:
        """Whether the labels were drawn on the image before its EXIF rotation."""
        if self.facts is None or self.fits or self.facts.orientation not in TRANSPOSED:
            return False
        return self.labels_size == self.facts.size[::-1]

    def file_labels(self, file: str) -> FileLabels:
        """Return the labels of the annotation, which messages call `file`."""
        return FileLabels(file, self.pixels, self.colors, self.lossy)


@dataclass(frozen=True)
class FolderScan:
    """The contents of a folder."""

    index: FolderIndex  # whose findings are complete now
    items: dict[str, ItemScan]  # by name
    table: ClassTable | None  # None if there are no classes, which is a problem

    def labels_of(self, name: str) -> dict[Label, int]:
        """Return an image's pixels by label: a palette's colors if the classes are colors."""
        by_color = self.table is not None and self.table.by_color
        return self.items[name].file_labels(name).counted(by_color)

    def pixels_of(self, name: str) -> NDArray[np.int64]:
        """Return an image's pixels by class, (256,); those of unknown labels aren't counted."""
        counts = np.zeros(256, np.int64)
        if self.table is not None:
            for label, count in self.labels_of(name).items():
                if (class_index := self.table.class_of(label)) is not None:
                    counts[class_index] += count
        return counts

    def read_labels(self, item: FolderItem) -> NDArray[np.uint8]:
        """Return the mask of an image as a viewer shows it, (H, W) uint8 of class indices.

        Raises PetsegError if the annotation can't be read, has another size, or has a label that
        is in no class; all three are among the findings.
        """
        scan = self.items[item.name]
        if self.table is None or scan.facts is None or not (scan.fits or scan.fits_turned):
            raise PetsegError(f"{item.annotation.path} doesn't fit its image, or has no classes.")
        labels = item.annotation.read(scan.facts.size)
        try:
            mask = self.table.apply(labels)
        except ValueError as error:
            raise PetsegError(f"{item.annotation.path} can't be used ({error}).") from error
        return turn_upright(mask, scan.facts.orientation) if scan.fits_turned else mask
