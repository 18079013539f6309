"""CVAT's own XML, "CVAT for images": polygons, boxes, ellipses and masks, with the labels' names.

Shapes are drawn by their z_order, and those of equal order as they are in the file.
"""

import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np

from petseg.core.errors import PetsegError
from petseg.datasets.folder.classes.labels import BACKGROUND_NAME, Label, RawLabels, Size
from petseg.datasets.folder.found import Found
from petseg.datasets.folder.listing.files import Folder, FoundFile
from petseg.datasets.folder.listing.names import split_in
from petseg.datasets.folder.shapes.drawing import (
    Polygons,
    Region,
    RunLengths,
    Shape,
    check_size,
    draw_shapes,
    ellipse,
    polygon,
    rotate,
)
from petseg.datasets.folder.shapes.named_images import NamedImages
from petseg.datasets.folder.text_files import read_file

_MAX_SIDE = 10**5
_AREAS = ("polygon", "box", "ellipse", "mask")


@dataclass(frozen=True)
class CvatLabels:
    """The shapes of one image."""

    path: Path
    size: Size | None  # None if the file has none
    elements: tuple[Element, ...]

    def read(self, shown: Size) -> RawLabels:
        if self.size is None:
            raise PetsegError(f"{self.path} gives no width and height; export it again.")
        check_size(self.size, shown, self.path)
        try:
            ordered = sorted(self.elements, key=lambda element: int(element.get("z_order", 0)))
            shapes = [Shape(_label(element), _region(element)) for element in ordered]
        except (ValueError, OverflowError) as error:
            raise PetsegError(f"{self.path} has an invalid shape ({error}); fix it.") from error
        return draw_shapes(shapes, self.size, self.path)


def cvat_files(folder: Folder) -> list[FoundFile]:
    """Return the XML files that look like CVAT's."""
    return [file for file in folder.with_suffix(".xml") if _looks_like_cvat(file.path)]


def find_cvat(folder: Folder) -> Found:
    """Return the images of the XML files."""
    images = NamedImages(folder, "XML")
    classes: dict[str, tuple[Label, ...]] = {BACKGROUND_NAME: (BACKGROUND_NAME,)}
    without_area = list[str]()
    files = cvat_files(folder)
    for file, root in images.read(files, _parse):
        names = [(label.findtext("name") or "").strip() for label in root.iter("label")]
        classes.update((name, (name,)) for name in names if name)
        for image in root.iter("image"):
            name = image.get("name", "")
            areas = tuple(element for element in image if element.tag in _AREAS)
            labels = CvatLabels(file.path, _size(image), areas)
            split = split_in(image.get("subset", "")) or file.split
            if images.add(name, file, labels, split):
                others = [element.tag for element in image if element.tag not in (*_AREAS, "tag")]
                without_area += [f"a {tag} of {name!r} ({file.relative})" for tag in others]
    folder.findings.note("Shapes without an area, left out", without_area)
    return images.finish("name in the XML", classes, str(files[0].relative))


def _looks_like_cvat(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return b"<annotations" in file.read(2**12)
    except OSError:
        return False


def _parse(path: Path) -> Element:
    """Parse images' XML without a document type, which could define entities.

    Raises PetsegError.
    """
    data = read_file(path)
    if b"<!DOCTYPE" in data or b"<!ENTITY" in data:
        raise PetsegError(f"{path} has a document type, which CVAT doesn't write.")
    try:
        root = ElementTree.fromstring(data)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise PetsegError(f"{path} is not valid XML ({error}).") from error
    if root.find("track") is not None:
        raise PetsegError(f"{path} is for video; choose CVAT for images.")
    return root


def _size(image: Element) -> Size | None:
    try:
        width, height = int(image.get("width", "")), int(image.get("height", ""))
    except ValueError:
        width = height = 0
    return (width, height) if 0 < min(width, height) <= max(width, height) <= _MAX_SIDE else None


def _label(element: Element) -> Label:
    return element.get("label", "").strip()


def _region(element: Element) -> Region:
    def number(name: str) -> float:
        return float(element.get(name, "nan"))

    def rotation() -> float:
        return float(element.get("rotation") or 0)

    if element.tag == "polygon":
        text = element.get("points", "").replace(";", ",")
        return Polygons((polygon([float(value) for value in text.split(",")]),))
    if element.tag == "box":
        left, top, right, bottom = map(number, ("xtl", "ytl", "xbr", "ybr"))
        corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
        points = rotate(corners, ((left + right) / 2, (top + bottom) / 2), rotation())
        return Polygons((polygon(points.ravel().tolist()),))
    if element.tag == "ellipse":
        points = ellipse(number("cx"), number("cy"), number("rx"), number("ry"), rotation())
        return Polygons((polygon(points.ravel().tolist()),))
    counts = [int(count) for count in element.get("rle", "").split(",")]
    left, top, width, height = (int(number(name)) for name in ("left", "top", "width", "height"))
    return RunLengths(np.array(counts, np.int64), (width, height), left, top)
