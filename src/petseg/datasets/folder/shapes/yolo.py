"""YOLO's polygons: labels/NAME.txt with lines "class x y x y ..." from 0 to 1, and data.yaml.

YOLO keeps no order of objects; larger objects are drawn first, so that smaller objects cover them.
"""

import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

from petseg.core.errors import PetsegError
from petseg.datasets.folder.classes.labels import BACKGROUND_NAME, RawLabels, Size
from petseg.datasets.folder.findings import as_example
from petseg.datasets.folder.found import Found, found_image
from petseg.datasets.folder.listing.files import Folder, FoundFile
from petseg.datasets.folder.listing.names import simplify
from petseg.datasets.folder.shapes.drawing import Polygons, Shape, draw_shapes, polygon
from petseg.datasets.folder.shapes.yolo_data import (
    NAME_LISTS,
    DataYaml,
    apply_splits,
    read_data,
)
from petseg.datasets.folder.text_files import decode, numbered_lines

_BOX_FIELDS = 5
_LINE = re.compile(r"\s*\d+(\.\d*)?(e[+-]?\d+)?(\s+-?[\d.]+(e[+-]?\d+)?){4}")
_TOLERANCE = 0.01  # points may be this far outside of the image


@dataclass(frozen=True)
class YoloFile:
    """The text file of one image."""

    path: Path
    names: dict[int, str]
    names_from: str  # the file that has them, for messages

    def read(self, shown: Size) -> RawLabels:
        shapes = []
        for line_number, line in numbered_lines(self.path):
            try:
                fields = line.split()
                if len(fields) == _BOX_FIELDS:
                    raise ValueError("it is a box, not a polygon; export a segmentation")
                if len(fields) % 2 == 0:
                    raise ValueError(
                        "an odd number of coordinates; if the last is a confidence, remove it"
                    )
                if len(fields) == 1:
                    raise ValueError("it has no coordinates")
                points = polygon([float(field) for field in fields[1:]])
                if points.min() < -_TOLERANCE or points.max() > 1 + _TOLERANCE:
                    raise ValueError("a coordinate is not within 0 to 1")
                number = float(fields[0])
                if not number.is_integer():
                    raise ValueError(f"the class {fields[0]} is not a whole number")
                index = int(number)
                if self.names and index not in self.names:
                    raise ValueError(f"the class {index} has no name in {self.names_from}")
            except ValueError as error:
                raise PetsegError(
                    f"{self.path}, line {line_number} can't be read ({error}); fix or remove it."
                ) from error
            label = self.names.get(index, index)
            shapes.append(Shape(label, Polygons((points * shown,))))
        shapes.sort(key=lambda shape: -shape.region.area)
        return draw_shapes(shapes, shown, self.path)


def yolo_files(folder: Folder) -> list[FoundFile]:
    """Return the text files that have an image's name, if any of them looks like YOLO's."""
    texts = list(_texts_of(folder).values())
    return texts if any(map(_looks_like_yolo, texts)) else []


def find_yolo(folder: Folder) -> Found:
    """Match each image with the text file of its name, in labels/ or in the same folder."""
    images = folder.images()
    unreadable = []
    try:
        data = read_data(folder)
    except PetsegError as error:
        data = DataYaml()
        unreadable.append(as_example(error, folder.root))
    folder.findings.problem("Files of class names that can't be read", unreadable, "fix them")
    names, source = data.names, data.source
    merged = [name for name, count in Counter(names.values()).items() if count > 1]
    folder.findings.note(f"Names that {source} has twice, merged into one class", merged)
    texts = _texts_of(folder)
    images_of = defaultdict(list)
    for image, text in texts.items():
        images_of[text].append(str(image.relative))
    shared = [f"{' and '.join(of)} ({t.relative})" for t, of in images_of.items() if len(of) > 1]
    folder.findings.problem("Images that share a text file", shared, "keep one of them")
    found = [
        found_image(image, YoloFile(texts[image].path, names, source) if image in texts else None)
        for image in images
    ]
    if not any(image.split for image in found):
        found = apply_splits(folder, found, data)
    matched = set(texts.values())
    orphans = [
        file
        for file in folder.with_suffix(".txt")
        if file.role == "mask" and file not in matched and file.path.name.lower() not in NAME_LISTS
    ]
    folder.read.update(file.path for file in orphans)
    names_of_orphans = [str(file.relative) for file in orphans]
    folder.findings.note("Text files without an image, left out", names_of_orphans)
    classes = {BACKGROUND_NAME: (BACKGROUND_NAME,), **{name: (name,) for name in names.values()}}
    rule = "the text file with the image's name"
    return Found(found, classes if names else None, source, rule)


def _texts_of(folder: Folder) -> dict[FoundFile, FoundFile]:
    """Return the text file of each image that has one: of its name, else of a similar one."""
    texts = {(file.place, file.path.stem): file for file in folder.with_suffix(".txt")}
    found, similar = dict[FoundFile, FoundFile](), defaultdict[object, list[FoundFile]](list)
    for image in folder.images():
        if text := texts.get((image.place, image.path.stem)):
            found[image] = text
        else:
            similar[image.place, simplify(image.path.stem)].append(image)
    matched = set(found.values())
    for (place, stem), text in texts.items():
        images = similar.pop((place, simplify(stem)), []) if text not in matched else []
        if len(images) == 1:
            found[images[0]] = text
    return found


def _looks_like_yolo(file: FoundFile) -> bool:
    try:
        with file.path.open("rb") as content:
            head = content.read(2**12)
    except OSError:
        return False
    return _LINE.match(decode(head, errors="ignore")) is not None
