"""Recognize the format of a folder's annotations, and read them."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from petseg.config.types import AnnotationFormat
from petseg.datasets.folder.found import Found
from petseg.datasets.folder.listing.files import Folder
from petseg.datasets.folder.listing.layout import check_splits
from petseg.datasets.folder.masks.find_masks import find_masks, has_masks
from petseg.datasets.folder.masks.image_folders import mark_image_folder
from petseg.datasets.folder.masks.mask_folders import mark_mask_folder, report_twins
from petseg.datasets.folder.masks.oxford import find_oxford, is_oxford
from petseg.datasets.folder.masks.unnamed_masks import mark_unnamed_masks
from petseg.datasets.folder.masks.voc import find_voc, is_voc
from petseg.datasets.folder.other_tools import report_other_tools
from petseg.datasets.folder.shapes.coco import coco_files, find_coco
from petseg.datasets.folder.shapes.cvat import cvat_files, find_cvat
from petseg.datasets.folder.shapes.labelme import find_labelme, labelme_files
from petseg.datasets.folder.shapes.via import find_via, via_files
from petseg.datasets.folder.shapes.yolo import find_yolo, yolo_files


@dataclass(frozen=True)
class Format:
    """How annotations of a kind are recognized and read, and what they are."""

    is_in: Callable[[Folder], object]  # true, or files, if a folder has such annotations
    find: Callable[[Folder], Found]
    has_shapes: bool = False  # with names; else masks of numbers or colors
    in_one_file: bool = False  # one file has the annotations of many images
    has_sizes: bool = True  # it says, or is, of which size the image was


FORMATS: dict[AnnotationFormat, Format] = {
    "coco": Format(coco_files, find_coco, has_shapes=True, in_one_file=True),
    "cvat": Format(cvat_files, find_cvat, has_shapes=True, in_one_file=True),
    "labelme": Format(labelme_files, find_labelme, has_shapes=True),
    "via": Format(via_files, find_via, has_shapes=True, in_one_file=True, has_sizes=False),
    "yolo": Format(yolo_files, find_yolo, has_shapes=True, has_sizes=False),
    "voc": Format(is_voc, find_voc),
    "oxford": Format(is_oxford, find_oxford),
    "masks": Format(has_masks, find_masks),
}
"""The last three are masks; the first that fits counts."""

_ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".7z", ".rar", ".bz2", ".xz")


def recognize(
    folder: Folder, annotations: AnnotationFormat | Literal["auto"]
) -> AnnotationFormat | None:
    """Return the format of the folder's annotations: any, or the one that the parameters name.

    If there are none, that is a problem. The splits that folders name are checked on the way,
    after the masks that no name tells from images are found.
    """
    formats = list(FORMATS) if annotations == "auto" else [annotations]
    fitting = [name for name in formats if FORMATS[name].is_in(folder)]
    if not fitting and "masks" in formats and mark_unnamed_masks(folder):
        fitting = ["masks"]
    if fitting[-1:] == ["masks"]:
        mark_image_folder(folder)
    check_splits(folder)
    if annotations == "auto":
        return _choose(folder, fitting)
    return _check(folder, annotations, is_there=bool(fitting))


def read_annotations(folder: Folder, annotations: AnnotationFormat) -> Found:
    """Return the images of a folder with their annotations of this format."""
    return FORMATS[annotations].find(folder)


def _choose(folder: Folder, fitting: list[AnnotationFormat]) -> AnnotationFormat | None:
    if "coco" in fitting:  # VIA exports both
        fitting = [name for name in fitting if name != "via"]
    shapes = [name for name in fitting if FORMATS[name].has_shapes]
    if len(shapes) > 1 or (shapes and fitting[-1] != shapes[-1]):
        folder.findings.problem(
            f"The folder has annotations of several kinds, {' and '.join(fitting)}",
            remedy="set dataset.folder.annotations to one of them",
        )
    elif not fitting:
        return _find_mask_folder(folder, "Neither masks nor other annotations were found")
    return fitting[0]


def _check(folder: Folder, name: AnnotationFormat, *, is_there: bool) -> AnnotationFormat | None:
    """Return the format that the parameters name, if the folder has such annotations."""
    if FORMATS[name].has_shapes and not is_there:
        _report_nothing(
            folder, f"No annotations of the kind {name}, of dataset.folder.annotations,"
        )
        return None
    if name == "masks" and not is_there:
        return _find_mask_folder(folder, "No masks were found")
    return name


def _find_mask_folder(folder: Folder, missing: str) -> AnnotationFormat | None:
    """Return "masks" if a folder can be taken for theirs; report what is missing if none can."""
    if mark_mask_folder(folder):
        return "masks" if has_masks(folder) else None
    _report_nothing(folder, missing)
    return None


def _report_nothing(folder: Folder, what: str) -> None:
    report_other_tools(folder)
    counts = Counter(str(file.relative.parent) for file in folder.images())
    archives = [str(file.relative) for file in folder.with_suffix(*_ARCHIVES)]
    if not counts:
        folder.report_other_formats()
        volumes = [name for name in archives if name.lower().endswith(".nii.gz")]
        remedy = "unpack the archive" if archives else "check the path"
        if volumes:
            remedy = "petseg doesn't read volumes: export their slices and masks as PNG"
        folder.findings.problem("The folder has no images", archives or None, remedy)
        return
    if folder.report_unread_masks():
        return
    if report_twins(folder):
        return
    folder.findings.problem("Archives that may hold the masks", archives, "unpack them")
    folder.findings.problem(
        f"{what} for the images in these folders",
        [f"{name}/ ({count})" for name, count in counts.items()],
        "docs/own-data.md shows where each format has them; masks may be in a folder masks/, or "
        "next to their images as cat_mask.png; the folder must have both",
    )
