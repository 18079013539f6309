"""COCO's JSON: polygons and run-length codes. A crowd belongs to no class.

Larger objects are drawn first, so that smaller objects cover them.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from petseg.core.errors import PetsegError
from petseg.datasets.folder.classes.labels import (
    BACKGROUND_NAME,
    IGNORE_NAME,
    LABELME_NAMES,
    Label,
    RawLabels,
    Size,
)
from petseg.datasets.folder.found import Found
from petseg.datasets.folder.listing.files import Folder, FoundFile
from petseg.datasets.folder.listing.names import OTHER_TASKS, split_in
from petseg.datasets.folder.shapes.drawing import (
    Polygons,
    Region,
    RunLengths,
    Shape,
    check_size,
    draw_shapes,
    polygon,
)
from petseg.datasets.folder.shapes.named_images import NamedImages
from petseg.datasets.folder.text_files import read_json

_Side = Annotated[int, Field(ge=1, le=10**5)]


class _Rle(BaseModel):
    counts: list[int] | str
    size: tuple[_Side, _Side]  # (height, width)


class _Object(BaseModel):
    image_id: int | str
    category_id: int
    segmentation: list[list[float]] | _Rle | None = None
    iscrowd: int | None = 0


class _Image(BaseModel):
    id: int | str
    file_name: str
    width: _Side
    height: _Side


class _Category(BaseModel):
    id: int
    name: str


class _Coco(BaseModel):
    images: list[_Image]
    annotations: list[_Object]
    categories: list[_Category]


@dataclass(frozen=True)
class CocoLabels:
    """The objects of one image."""

    path: Path
    size: Size
    objects: list[tuple[Label, list[list[float]] | _Rle]]  # label, segmentation

    def read(self, shown: Size) -> RawLabels:
        check_size(self.size, shown, self.path)
        try:
            shapes = [Shape(label, _region(code, self.size)) for label, code in self.objects]
        except (ValueError, OverflowError) as error:
            raise PetsegError(f"{self.path} has an invalid object ({error}); fix it.") from error
        crowds = [shape for shape in shapes if shape.label == IGNORE_NAME]
        others = [shape for shape in shapes if shape.label != IGNORE_NAME]
        others.sort(key=lambda shape: -shape.region.area)
        return draw_shapes([*crowds, *others], self.size, self.path)


def coco_files(folder: Folder) -> list[FoundFile]:
    """Return the JSON files that look like COCO's instances, judged by their first bytes."""
    files = [file for file in folder.with_suffix(".json") if _looks_like_coco(file.path)]
    instances = [file for file in files if not file.path.name.startswith(OTHER_TASKS)]
    return instances or files


def find_coco(folder: Folder) -> Found:
    """Return the images of all JSON files; each file may be one split."""
    images = NamedImages(folder, "JSON")
    classes: dict[str, tuple[Label, ...]] = {BACKGROUND_NAME: (BACKGROUND_NAME,)}
    boxes, unknown, crowds, strays = list[str](), list[str](), list[str](), list[str]()
    repeated = list[str]()
    merged = list[str]()
    files = coco_files(folder)
    for file, document in images.read(files, lambda path: read_json(path, _Coco)):
        names = {
            category.id: category.name.strip() or f"class_{category.id}"
            for category in document.categories
        }
        classes.update((name, (name,)) for name in names.values() if name not in LABELME_NAMES)
        repeated += [f"{what} ({file.relative})" for what in _repeated_ids(document)]
        counts = Counter(names.values())
        merged += [f"{name} ({file.relative})" for name in counts if counts[name] > 1]
        objects = _objects_by_image(document, names, file, boxes, unknown)
        crowds += [
            f"annotations[{number}] of {file.relative}"
            for number, item in enumerate(document.annotations)
            if item.iscrowd and item.segmentation
        ]
        split = split_in(file.path.stem) or file.split if len(files) > 1 or file.split else None
        for image in document.images:
            size = image.width, image.height
            labels = CocoLabels(file.path, size, objects.pop(str(image.id), []))
            images.add(image.file_name, file, labels, split)
        strays += [f"image_id {image_id} ({file.relative})" for image_id in objects]
    folder.findings.problem(
        "Objects without a segmentation", boxes, "export polygons or masks, not boxes"
    )
    folder.findings.problem("Objects whose category the JSON doesn't list", unknown, "fix them")
    folder.findings.problem(
        "Ids that stand for several images or categories",
        repeated,
        "export again, or keep joined exports in files of their own",
    )
    folder.findings.note("Categories of the same name, merged into one class", merged)
    folder.findings.note("Objects of images that the JSON doesn't list, left out", strays)
    folder.findings.note(
        "Crowds (iscrowd 1), which are ignored",
        crowds,
        "CVAT marks painted masks this way; if these are objects, set iscrowd to 0",
    )
    return images.finish("file_name in the JSON", classes, str(files[0].relative))


def _looks_like_coco(path: Path) -> bool:
    """Whether a JSON has COCO's keys; most may come last, so they are searched for from the end.

    Without images, it is Datumaro's, and with segments, COCO's for panoptic segmentation.
    """
    try:
        with path.open("rb") as file:
            head = file.read(2**16)
            file.seek(max(0, path.stat().st_size - 2**16))
            both = head + file.read(2**16)
    except OSError:
        return False
    keys = (b'"images"', b'"annotations"', b'"categories"')
    if b'"segments_info"' in both or not any(key in both for key in keys):
        return False
    if keys[0] in both and any(key in both for key in keys[1:]):
        return True
    content = path.read_bytes()
    return all(key in content for key in keys)


def _objects_by_image(
    document: _Coco, names: dict[int, str], file: FoundFile, boxes: list[str], unknown: list[str]
) -> dict[str, list[tuple[Label, list[list[float]] | _Rle]]]:
    objects = defaultdict(list)
    for number, item in enumerate(document.annotations):
        if not item.segmentation:
            boxes.append(f"annotations[{number}] of {file.relative}")
        elif item.category_id not in names:
            unknown.append(f"annotations[{number}] of {file.relative} ({item.category_id})")
        else:
            name = names[item.category_id]
            label: Label = IGNORE_NAME if item.iscrowd else LABELME_NAMES.get(name, name)
            objects[str(item.image_id)].append((label, item.segmentation))
    return objects


def _repeated_ids(document: _Coco) -> list[str]:
    """Return the ids of several images or categories, as two exports in one file have them."""
    images, categories = defaultdict(set), defaultdict(set)
    for image in document.images:
        images[str(image.id)].add(image.file_name)
    for category in document.categories:
        categories[category.id].add(category.name)
    return [
        f"{what} {number}: {' and '.join(sorted(names))}"
        for what, named in (("image", images), ("category", categories))
        for number, names in named.items()
        if len(names) > 1
    ]


def _region(code: list[list[float]] | _Rle, size: Size) -> Region:
    if isinstance(code, list):
        return Polygons(tuple(map(polygon, code)))
    height, width = code.size
    if (width, height) != size:
        raise ValueError(f"a run-length code of {width}x{height} pixels")
    counts = code.counts if isinstance(code.counts, list) else decompress(code.counts)
    return RunLengths(np.array(counts, np.int64), (width, height), by_column=True)


def decompress(text: str) -> NDArray[np.int64]:
    """Decode COCO's compressed run lengths: 5 bits a character, and differences from the third on.

    The bits come lowest first, bit 6 says that more follow, and the last group has the sign.
    Raises ValueError for characters that can't be part of it.
    """
    counts: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64 or shift > 30:
            raise ValueError("a compressed run-length code is damaged")
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            if bits & 16:
                value -= 1 << shift
            counts.append(value + counts[-2] if len(counts) > 2 else value)
            value = shift = 0
    if shift:
        raise ValueError("a compressed run-length code ends too early")
    return np.array(counts, np.int64)
