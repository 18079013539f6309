"""Which images a folder has, with what annotations and in which splits.

No image is decoded, but for a few where names don't say enough: VOC's masks, unnamed masks.
"""

from dataclasses import dataclass
from pathlib import Path

from petseg.config.data_params import FolderParams
from petseg.config.types import AnnotationFormat
from petseg.core.hashing import NO_GROUP
from petseg.datasets.folder.classes.labels import BACKGROUND_NAME, Annotation, RawLabels, Size
from petseg.datasets.folder.findings import Findings
from petseg.datasets.folder.formats import FORMATS, read_annotations, recognize
from petseg.datasets.folder.found import ExportedClasses, FoundImage
from petseg.datasets.folder.listing.files import Folder
from petseg.datasets.folder.listing.layout import list_folder
from petseg.datasets.folder.listing.names import Split
from petseg.datasets.folder.shapes.drawing import draw_shapes
from petseg.datasets.folder.splits import assign_splits


@dataclass(frozen=True)
class FolderItem:
    """An image in the folder and its annotation. `name` is unique within the folder."""

    name: str
    image: Path
    annotation: Annotation
    category: str = "unknown"
    supercategory: str = "unknown"


@dataclass(frozen=True)
class FolderIndex:
    """All that is known about a folder before its images are decoded."""

    root: Path
    format: AnnotationFormat | None  # None if nothing was recognized, which is a problem
    splits: dict[Split, list[FolderItem]]  # train, test, and val if the folder has one
    classes: ExportedClasses | None  # as the export names them
    classes_from: str  # the file that names them
    rule: str  # how annotations were matched with images
    findings: Findings
    incomplete: bool = False  # some annotations couldn't be read, which is a problem

    @property
    def items(self) -> list[FolderItem]:
        """All images, by name."""
        items = [item for items in self.splits.values() for item in items]
        return sorted(items, key=lambda item: item.name)

    @property
    def summary(self) -> str:
        """What was recognized, in one line."""
        counts = " and ".join(f"{len(items)} {split}" for split, items in self.splits.items())
        matched = f", matched by {self.rule}" if self.rule else ""
        classes = f"; classes from {self.classes_from}" if self.classes_from else ""
        return f"Annotations: {self.format}{matched}{classes}; images: {counts}."

    @property
    def in_one_file(self) -> bool:
        """Whether one file has the annotations of many images."""
        return self.format is not None and FORMATS[self.format].in_one_file

    @property
    def has_shapes(self) -> bool:
        """Whether annotations are shapes with names, not masks of numbers or colors."""
        return self.format is not None and FORMATS[self.format].has_shapes

    @property
    def has_sizes(self) -> bool:
        """Whether annotations say of which size their images were."""
        return self.format is not None and FORMATS[self.format].has_sizes

    @property
    def categories(self) -> list[str]:
        return sorted({item.category for item in self.items})

    @property
    def supercategories(self) -> list[str]:
        return sorted({item.supercategory for item in self.items})


@dataclass(frozen=True)
class NoAnnotation:
    """An image without an annotation that is treated as background."""

    path: Path

    def read(self, shown: Size) -> RawLabels:
        return draw_shapes([], shown, self.path)


def index_folder(params: FolderParams, root: Path) -> FolderIndex:
    """Find the images, annotations, class names and splits of a folder.

    What is wrong with it is in the index's findings. Raises OSError for a folder that can't be
    read.
    """
    folder = list_folder(root)
    annotations = recognize(folder, params.annotations)
    if annotations is None:
        folder.note_unread(())
        return FolderIndex(root, None, {"train": [], "test": []}, None, "", "", folder.findings)
    found = read_annotations(folder, annotations)
    folder.check_names(image.file for image in found.images)
    folder.note_other_images()
    images = assign_splits(folder, found.images, params)
    folder.note_unread(image.annotation.path for image in found.images if image.annotation)
    if not found.incomplete:
        _report_unlabeled(folder, images, params)
    if params.unlabeled == "skip":
        images = {s: [i for i in images[s] if i.annotation is not None] for s in images}
    settings = ["dataset.folder.test_fraction"]
    settings += ["dataset.folder.group"] * (params.group != NO_GROUP)
    for split, in_split in images.items():
        if not in_split:
            folder.findings.problem(
                f"No images for the {split} split",
                remedy=f"add images, or change the lists or {' or '.join(settings)}",
            )
    splits = {split: [_item(image) for image in images[split]] for split in images}
    return FolderIndex(
        root=root,
        format=annotations,
        splits=splits,
        classes=found.classes,
        classes_from=found.classes_from,
        rule=found.rule,
        incomplete=found.incomplete,
        findings=folder.findings,
    )


def _report_unlabeled(
    folder: Folder, splits: dict[Split, list[FoundImage]], params: FolderParams
) -> None:
    """Say which images have no annotation, and what `unlabeled` does with them."""
    images = [image for images in splits.values() for image in images]
    without = sorted(str(image.file.relative) for image in images if image.annotation is None)
    what = "Images without a mask or other annotation"
    if not without:
        return
    if params.unlabeled == "error":
        remedy = "add it, or set dataset.folder.unlabeled to skip or background"
        folder.findings.problem(what, without, remedy)
    else:
        done = "left out" if params.unlabeled == "skip" else f"treated as {BACKGROUND_NAME}"
        folder.findings.note(f"{what}, {done}", without)


def _item(image: FoundImage) -> FolderItem:
    file = image.file
    annotation = image.annotation or NoAnnotation(file.path)
    return FolderItem(file.name, file.path, annotation, image.category, image.supercategory)
