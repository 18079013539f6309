"""LabelMe's JSON, one file per image: polygons, rectangles, circles and masks.

Shapes are drawn in the order of the file, as LabelMe's own converter does. The label _background_
is the background, and __ignore__ belongs to no class.
"""

import base64
import binascii
import math
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Annotated

import numpy as np
from pydantic import BaseModel, Field

from petseg.core.errors import PetsegError, translate
from petseg.datasets.folder.classes.labels import LABELME_NAMES, RawLabels, Size
from petseg.datasets.folder.found import Found, found_image
from petseg.datasets.folder.listing.files import Folder, FoundFile
from petseg.datasets.folder.listing.lookup import Lookup
from petseg.datasets.folder.listing.names import simplify
from petseg.datasets.folder.shapes.drawing import (
    Bitmap,
    Polygons,
    Region,
    Shape,
    check_inside,
    check_size,
    draw_shapes,
    ellipse,
    polygon,
)
from petseg.datasets.folder.text_files import mentions, read_json
from petseg.images.reading import open_image

_CORNERS = 4  # X-AnyLabeling writes all of them, also those of its rotated boxes, "rotation"
_WITHOUT_AREA = ("line", "linestrip", "point", "points")
_Side = Annotated[int, Field(ge=1, le=10**5)]


class _Shape(BaseModel):
    label: str
    points: list[tuple[float, float]]
    shape_type: str | None = "polygon"
    mask: str | None = None  # a PNG, whose upper left corner is the first point


class _ImagePath(BaseModel):
    imagePath: object = None  # noqa: N815


class _File(_ImagePath):
    shapes: list[_Shape]
    imageWidth: _Side | None = None  # noqa: N815
    imageHeight: _Side | None = None  # noqa: N815


@dataclass(frozen=True)
class LabelMeFile:
    """The JSON of one image."""

    path: Path
    image: str  # its name

    def read(self, shown: Size) -> RawLabels:
        document = read_json(self.path, _File)
        size = document.imageWidth or shown[0], document.imageHeight or shown[1]
        check_size(size, shown, self.path)
        with translate(self._explain):  # any: a mask's decoder raises all kinds
            shapes = [
                Shape(LABELME_NAMES.get(shape.label, shape.label.strip()), _region(shape))
                for shape in document.shapes
                if shape.shape_type not in _WITHOUT_AREA
            ]
            if not (document.imageWidth and document.imageHeight):
                for shape in document.shapes:
                    points = shape.points[: 1 if shape.shape_type == "circle" else None]
                    check_inside(np.array(points).reshape(-1, 2), size)
        has_others = len(shapes) < len(document.shapes)
        labels = draw_shapes(shapes, size, self.path)
        notes = list(labels.notes)
        if has_others:
            notes.append("Lines and points in annotations, left out")
        if (named := _image_name(document)) and not _names_of(named) & _names_of(self.image):
            notes.append("JSON files with the name of one image and the imagePath of another")
        return replace(labels, notes=tuple(notes))

    def _explain(self, error: Exception) -> str:
        return f"{self.path} has an invalid shape ({error}); fix or remove it."


def labelme_files(folder: Folder) -> list[FoundFile]:
    """Return the JSON files that look like LabelMe's; the image in one may be anywhere in it."""
    files = folder.with_suffix(".json")
    return [file for file in files if mentions(file.path, [b'"shapes"'], hint=b'"imageData"')]


def find_labelme(folder: Folder) -> Found:
    """Match each JSON with the image of the same name, in its folder or else anywhere.

    If there is none, or several, with the image that it names.
    """
    images = folder.images()
    in_same_folder = defaultdict[object, list[FoundFile]](list)
    for found_file in images:
        in_same_folder[found_file.place, found_file.path.stem].append(found_file)
    lookup = Lookup(images)
    annotations: dict[FoundFile, LabelMeFile] = {}
    image: FoundFile | None
    orphans, repeated, unclear = list[str](), list[str](), list[str]()
    for file in labelme_files(folder):
        folder.read.add(file.path)
        stem = file.path.stem
        near = in_same_folder[file.place, stem]
        if len(near) == 1:
            image = near[0]
        elif near:
            image = _named_image(file, Lookup(near))
        else:
            image = lookup.find_near(file, stem, file.split) or _named_image(file, lookup)
        if image is None and near:
            unclear.append(f"{' and '.join(str(i.relative) for i in near)} ({file.relative})")
        elif image is None:
            orphans.append(str(file.relative))
        elif image in annotations:
            repeated.append(str(file.relative))
        else:
            annotations[image] = LabelMeFile(file.path, image.path.name)
    folder.findings.note("JSON files without an image, left out", orphans)
    folder.findings.problem("Second JSON files for an image", repeated, "remove them")
    folder.findings.problem("Images that share a JSON file", unclear, "keep one of them")
    found = [found_image(image, annotations.get(image)) for image in images]
    return Found(found, rule="the JSON with the image's name")


def _named_image(file: FoundFile, lookup: Lookup) -> FoundFile | None:
    """Return the image whose path is in the JSON."""
    with suppress(PetsegError):
        name = _image_name(read_json(file.path, _ImagePath))
        return lookup.find_near(file, name, file.split) if name else None
    return None


def _image_name(document: _ImagePath) -> str:
    """Return the name of the image in LabelMe's path; empty if there is none."""
    path = document.imagePath
    return PurePosixPath(path.replace("\\", "/")).name if isinstance(path, str) else ""


def _names_of(name: str) -> set[str]:
    return {simplify(name), simplify(PurePosixPath(name).stem)}


def _region(shape: _Shape) -> Region:
    if not shape.label.strip():
        raise ValueError("a shape without a label")
    points = shape.points
    kind = shape.shape_type or "polygon"
    if kind in ("polygon", "rotation") or (kind == "rectangle" and len(points) == _CORNERS):
        return Polygons((polygon([value for point in points for value in point]),))
    if kind not in ("rectangle", "circle", "mask") or len(points) < 2 - (kind == "mask"):
        raise ValueError(f"a {kind} of {len(points)} points")
    (x1, y1), (x2, y2) = points[0], points[-1]
    if kind == "rectangle":
        return Polygons((polygon([x1, y1, x2, y1, x2, y2, x1, y2]),))
    if kind == "circle":  # its center, and a point on it
        radius = math.hypot(x2 - x1, y2 - y1)
        return Polygons((polygon(ellipse(x1, y1, radius, radius).ravel().tolist()),))
    try:
        with open_image(base64.b64decode(shape.mask or "", validate=True)) as image:
            pixels = np.asarray(image.convert("L")) > 0
    except binascii.Error as error:
        raise ValueError("a mask that isn't base64") from error
    return Bitmap(pixels, round(x1), round(y1))
