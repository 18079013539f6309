"""The JSON of the VGG Image Annotator (VIA 1 and 2), an export or a project: regions of images.

The label is the value of one of the region's attributes. Larger regions are drawn first, so that
smaller regions cover them.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, RootModel, model_validator

from petseg.core.errors import PetsegError
from petseg.datasets.folder.classes.labels import Label, RawLabels, Size
from petseg.datasets.folder.found import Found
from petseg.datasets.folder.listing.files import Folder, FoundFile
from petseg.datasets.folder.listing.names import split_in
from petseg.datasets.folder.shapes.drawing import (
    Polygons,
    Shape,
    check_inside,
    draw_shapes,
    ellipse,
    polygon,
)
from petseg.datasets.folder.shapes.named_images import NamedImages
from petseg.datasets.folder.text_files import mentions, read_json

_OBJECT = "object"  # the label where regions have no attributes
_CLASS_ATTRIBUTES = ("class", "label", "category")  # attributes that hold the class
_UNSET = ("", "undefined")  # values that VIA's menus have at first
_MIN_DISTINCT_VALUES = 10  # values; if most regions have their own, they are no classes
_AREAS = ("polygon", "rect", "circle", "ellipse")


class _Region(BaseModel):
    shape_attributes: dict[str, Any]
    region_attributes: dict[str, Any] | None = None

    @property
    def values(self) -> dict[str, list[str]]:
        """The values of each attribute, by its name in lower case; of a checkbox those ticked."""
        found = defaultdict[str, list[str]](list)
        for key, value in (self.region_attributes or {}).items():
            if isinstance(value, dict):
                values = [name for name, on in value.items() if on in (True, "true")]
            else:
                values = value if isinstance(value, list) else [value]
            texts = [str(value).strip() for value in values if value is not None]
            found[key.strip().casefold()] += [text for text in texts if text not in _UNSET]
        return found

    @property
    def has_area(self) -> bool:
        return self.shape_attributes.get("name") in _AREAS


class _Image(BaseModel):
    filename: str
    size: object = None  # of the file, in bytes; -1 if unknown
    regions: list[_Region] | dict[str, _Region] | None = None  # VIA 1 numbers them

    @property
    def listed(self) -> list[_Region]:
        regions = self.regions or []
        return list(regions.values() if isinstance(regions, dict) else regions)

    @property
    def areas(self) -> list[_Region]:
        return [region for region in self.listed if region.has_area]


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
    regions: tuple[tuple[Label, dict[str, Any]], ...]  # label, shape_attributes

    def read(self, shown: Size) -> RawLabels:
        try:
            shapes = [
                Shape(label, Polygons((_ring(attributes, shown),)))
                for label, attributes in self.regions
            ]
        except KeyError as error:
            raise PetsegError(f"{self.path} has a region without {error}; fix it.") from error
        except (ValueError, TypeError, OverflowError) as error:
            raise PetsegError(f"{self.path} has an invalid region ({error}); fix it.") from error
        shapes.sort(key=lambda shape: -shape.region.area)
        return draw_shapes(shapes, shown, self.path)


def via_files(folder: Folder) -> list[FoundFile]:
    """Return the JSON files that look like VIA's; its first images may have no regions."""
    files = folder.with_suffix(".json")
    return [f for f in files if mentions(f.path, [b'"shape_attributes"'], hint=b'"regions"')]


def find_via(folder: Folder) -> Found:
    """Return the images of all JSON files. One without a region has no annotation."""
    images = NamedImages(folder, "JSON")
    files = via_files(folder)
    documents = images.read(files, lambda path: read_json(path, _Via))
    listed = [(file, image) for file, document in documents for image in document.root.values()]
    attribute = _attribute_of_class(folder, [region for _, i in listed for region in i.areas])
    without_area, unlabeled, changed = list[str](), list[str](), list[str]()
    for file, image in listed:
        place = f"{image.filename!r} ({file.relative})"
        kinds = [region.shape_attributes.get("name") for region in image.listed]
        without_area += [f"a {kind} of {place}" for kind in kinds if kind not in _AREAS]
        regions = list[tuple[Label, dict[str, Any]]]()
        for region in image.areas:
            labels = region.values.get(attribute, []) if attribute else [_OBJECT]
            if len(labels) != 1:
                unlabeled.append(f"{' and '.join(labels) or 'none'} in {place}")
            else:
                regions.append((labels[0], region.shape_attributes))
        if image.areas:
            labels_of_image = ViaLabels(file.path, tuple(regions))
            split = file.split or (split_in(file.path.stem) if len(files) > 1 else None)
            found = images.add(image.filename, file, labels_of_image, split)
            if found and _is_changed(found.path, image.size):
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
    return images.finish("filename in the JSON")


def _is_changed(path: Path, size: object) -> bool:
    """Whether a file has another size than VIA says, if it says one."""
    if not isinstance(size, int) or size < 0:
        return False
    try:
        return path.stat().st_size != size
    except OSError:
        return False


def _attribute_of_class(folder: Folder, regions: Sequence[_Region]) -> str:
    """Return the region attribute that holds the class; empty if the regions have none."""
    texts = defaultdict[str, set[str]](set)
    for region in regions:
        for key, values in region.values.items():
            if values:
                texts[key].update(values)
    if not texts:
        if regions:
            what = "The regions have no attributes with a value, so all count as the class"
            folder.findings.note(f"{what} {_OBJECT}")
        return ""
    usual = [name for name in _CLASS_ATTRIBUTES if name in texts]
    chosen = (usual or list(texts))[0]
    others = [key for key in texts if key != chosen]
    remedy = "keep the one with the class, or call it class"
    if usual:
        folder.findings.note(f"Attributes of the regions other than {chosen}, not used", others)
    elif others:
        folder.findings.problem("The regions have several attributes", list(texts), remedy)
    elif len(texts[chosen]) >= max(_MIN_DISTINCT_VALUES, len(regions) / 2):
        folder.findings.problem(
            f"The attribute {chosen} isn't the class: {len(texts[chosen])} values in "
            f"{len(regions)} regions",
            remedy=remedy,
        )
    return chosen


def _ring(attributes: dict[str, Any], shown: Size) -> NDArray[np.float64]:
    """Return the points (N, 2) of a region's outline.

    Raises ValueError if it reaches beyond the image; of a circle or an ellipse only the center
    must be inside.
    """

    def numbers(*names: str) -> list[float]:
        return [float(attributes[name]) for name in names]

    kind = attributes["name"]
    if kind == "polygon":
        xs, ys = attributes["all_points_x"], attributes["all_points_y"]
        values = [float(value) for point in zip(xs, ys, strict=True) for value in point]
        return check_inside(polygon(values), shown)
    if kind == "rect":
        x, y, width, height = numbers("x", "y", "width", "height")
        corners = polygon([x, y, x + width, y, x + width, y + height, x, y + height])
        return check_inside(corners, shown)
    x, y, rx, ry = numbers("cx", "cy", *(("r", "r") if kind == "circle" else ("rx", "ry")))
    check_inside(np.array([[x, y]]), shown)
    degrees = math.degrees(float(attributes.get("theta", 0)))
    return polygon(ellipse(x, y, rx, ry, degrees).ravel().tolist())
