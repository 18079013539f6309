"""What a format finds in a folder: images with their annotations, and the names of the classes."""

from collections.abc import Mapping
from dataclasses import dataclass

from petseg.datasets.folder.classes.labels import Annotation, Label
from petseg.datasets.folder.listing.files import FoundFile
from petseg.datasets.folder.listing.names import Split

ExportedClasses = Mapping[str, tuple[Label, ...]]
"""The labels of each class, in order, as an export names them."""


@dataclass(frozen=True)
class FoundImage:
    """An image, and where its labels come from; None if it has no annotation."""

    file: FoundFile
    annotation: Annotation | None
    split: Split | None  # as the export says, by a folder or by its lists
    category: str
    supercategory: str = "unknown"


@dataclass(frozen=True)
class Found:
    """All images of a folder, as one format sees them."""

    images: list[FoundImage]
    classes: ExportedClasses | None = None
    classes_from: str = ""  # the file that names them
    rule: str = ""  # how annotations were matched with images
    incomplete: bool = False  # a file with the annotations of many images couldn't be read


def found_image(file: FoundFile, annotation: Annotation | None) -> FoundImage:
    """Return an image whose category and split come from its folders."""
    category = file.folders[0] if file.folders else "unknown"
    return FoundImage(file, annotation, file.split, category)
