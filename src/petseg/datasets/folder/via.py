"""The JSON of the VGG Image Annotator (VIA 1 and 2), an export or a project: regions of images.

The label is the value of one of the region's attributes. Larger regions are drawn first, so that
smaller regions cover them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, RootModel, model_validator

from petseg.core.errors import PetsegError
from petseg.datasets.folder.files import Folder, FoundFile
from petseg.datasets.folder.findings import as_example
from petseg.datasets.folder.found import Found
from petseg.datasets.folder.labels import Key, RawLabels, Size
from petseg.datasets.folder.named_images import NamedImages
from petseg.datasets.folder.shapes import Polygons, Shape, draw_shapes, ellipse, polygon
from petseg.datasets.folder.text_files import read_json

_OBJECT = "object"  # the label where regions have no attributes
_USUAL = ("class", "label", "category", "name", "type")  # attributes that hold the class
_AREAS = ("polygon", "rect", "circle", "ellipse")
_HEAD_BYTES = 2**16
_SLACK = 2.0  # pixels by which a region may reach beyond its image


class _Region(BaseModel):
    shape_attributes: dict[str, Any]
    region_attributes: dict[str, Any] = {}

    @property
    def has_area(self) -> bool:
        return self.shape_attributes.get("name") in _AREAS


class _Image(BaseModel):
    filename: str
    size: int = -1  # of the file, in bytes; -1 if unknown
    regions: list[_Region] | dict[str, _Region] = []  # VIA 1 numbers them

    @property
    def listed(self) -> list[_Region]:
        return list(self.regions.values() if isinstance(self.regions, dict) else self.regions)


class _Via(RootModel[dict[str, _Image]]):
    @model_validator(mode="before")
    @classmethod
    def _of_project(cls, content: object) -> object:
        """Return the images of a project as an export has them."""
        if isinstance(content, dict):
            return content.get("_via_img_metadata", content)
        return content


@dataclass(frozen=True)
class ViaLabels:
    """The regions of one image."""

    path: Path
    regions: tuple[tuple[Key, dict[str, Any]], ...]  # label, shape_attributes

    def read(self, shown: Size) -> RawLabels:
        try:
            rings = [(label, _ring(attributes)) for label, attributes in self.regions]
        except (ValueError, TypeError, KeyError, OverflowError) as error:
            raise PetsegError(f"{self.path} has an invalid region ({error}); fix it.") from error
        for _, ring in rings:
            if (ring.max(0) > np.add(shown, _SLACK)).any():
                x, y = np.round(ring.max(0)).astype(int)
                raise PetsegError(
                    f"{self.path} has a region that reaches {x}, {y} in an image of {shown[0]}x"
                    f"{shown[1]}; use the image that was annotated."
                )
        shapes = [Shape(label, Polygons((ring,))) for label, ring in rings]
        shapes.sort(key=lambda shape: -shape.region.area)
        return draw_shapes(shapes, shown, self.path)


def via_files(folder: Folder) -> list[FoundFile]:
    """Return the JSON files that look like VIA's, judged by their first bytes."""
    return [file for file in folder.with_suffix(".json") if _looks_like_via(file.path)]


def find_via(folder: Folder) -> Found:
    """Return the images of all JSON files. One without regions has no annotation."""
    images = NamedImages(folder, "JSON")
    files = via_files(folder)
    folder.read.update(file.path for file in files)
    documents, unreadable = list[tuple[FoundFile, _Via]](), list[str]()
    for file in files:
        try:
            documents.append((file, read_json(file.path, _Via)))
        except PetsegError as error:
            unreadable.append(as_example(error, folder.root))
    listed = [(file, image) for file, document in documents for image in document.root.values()]
    attribute = _attribute_of_class(folder, [region for _, i in listed for region in i.listed])
    without_area, unlabeled, changed = list[str](), list[str](), list[str]()
    for file, image in listed:
        place = f"{image.filename!r} ({file.relative})"
        regions = list[tuple[Key, dict[str, Any]]]()
        for region in image.listed:
            labels = _labels(region, attribute)
            if not region.has_area:
                without_area.append(f"a {region.shape_attributes.get('name')} of {place}")
            elif len(labels) != 1:
                unlabeled.append(f"{' and '.join(labels) or 'none'} in {place}")
            else:
                regions.append((labels[0], region.shape_attributes))
        if image.listed:
            labels_of_image = ViaLabels(file.path, tuple(regions))
            found = images.add(image.filename, file, labels_of_image, file.split)
            if found and image.size not in (-1, found.path.stat().st_size):
                changed.append(place)
    folder.findings.note("Regions without an area, left out", without_area)
    folder.findings.problem(
        f"Regions without exactly one value of {attribute}",
        unlabeled,
        "give them one, or remove them",
    )
    folder.findings.note(
        "Images that were changed after they were annotated (the number of bytes differs)",
        changed,
        "if they were resized, the regions don't fit",
    )
    folder.findings.problem("JSON files that can't be read", unreadable, "export them again")
    return Found(images.finish(), rule="filename in the JSON", incomplete=bool(unreadable))


def _looks_like_via(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError:
        return False
    return b'"regions"' in head and b'"filename"' in head


def _attribute_of_class(folder: Folder, regions: Sequence[_Region]) -> str:
    """Return the region attribute that holds the class; empty if the regions have none."""
    used = list(
        dict.fromkeys(
            key
            for region in regions
            for key, value in region.region_attributes.items()
            if region.has_area and value not in ("", {}, None)
        )
    )
    if not used:
        if regions:
            what = f"The regions have no attributes, so all are taken for the class {_OBJECT}"
            folder.findings.note(what)
        return ""
    usual = [key for key in used if key.casefold() in _USUAL] if len(used) > 1 else used
    if len(usual) == 1:
        others = [key for key in used if key not in usual]
        folder.findings.note(f"Attributes of the regions other than {usual[0]}, not used", others)
        return usual[0]
    folder.findings.problem(
        "The regions have several attributes", used, "keep the one with the class, or call it class"
    )
    return used[0]


def _labels(region: _Region, attribute: str) -> list[str]:
    """Return the region's labels; several if the attribute is a checkbox."""
    if not attribute:
        return [_OBJECT]
    value = region.region_attributes.get(attribute, "")
    values = [key for key, on in value.items() if on] if isinstance(value, dict) else [str(value)]
    return [text for each in values if (text := each.strip())]


def _ring(attributes: dict[str, Any]) -> NDArray[np.float64]:
    """Return the points (N, 2) of a region's outline."""

    def numbers(*names: str) -> list[float]:
        return [float(attributes[name]) for name in names]

    kind = attributes["name"]
    if kind == "polygon":
        xs, ys = attributes["all_points_x"], attributes["all_points_y"]
        return polygon([float(value) for point in zip(xs, ys, strict=True) for value in point])
    if kind == "rect":
        x, y, width, height = numbers("x", "y", "width", "height")
        return polygon([x, y, x + width, y, x + width, y + height, x, y + height])
    x, y, rx, ry = numbers("cx", "cy", *(("r", "r") if kind == "circle" else ("rx", "ry")))
    degrees = math.degrees(float(attributes.get("theta", 0)))
    return polygon(ellipse(x, y, rx, ry, degrees).ravel().tolist())
