"""YOLO's polygons: labels/NAME.txt with lines "class x y x y ..." from 0 to 1, and data.yaml.

YOLO keeps no order of objects; larger objects are drawn first, so that smaller objects cover them.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from petseg.config.validation import read_yaml
from petseg.core.errors import PetsegError
from petseg.datasets.folder.files import Folder, FoundFile
from petseg.datasets.folder.findings import as_example
from petseg.datasets.folder.found import Found, found_image
from petseg.datasets.folder.labels import BACKGROUND_KEY, RawLabels, Size
from petseg.datasets.folder.shapes import Polygons, Shape, draw_shapes, polygon
from petseg.datasets.folder.text_files import numbered_lines, read_text

_BOX_FIELDS = 5
_LINE = re.compile(rb"\s*\d+(\s+-?[\d.]+(e-?\d+)?){4}")
_TOLERANCE = 0.01  # points may be this far outside of the image


@dataclass(frozen=True)
class YoloFile:
    """The text file of one image."""

    path: Path
    names: dict[int, str]

    def read(self, shown: Size) -> RawLabels:
        shapes = []
        for number, line in numbered_lines(self.path):
            try:
                fields = line.split()
                if len(fields) == _BOX_FIELDS:
                    raise ValueError("it is a box, not a polygon; export a segmentation")
                points = polygon([float(field) for field in fields[1:]])
                if points.min() < -_TOLERANCE or points.max() > 1 + _TOLERANCE:
                    raise ValueError("a coordinate is not within 0 to 1")
                index = int(fields[0])
                if self.names and index not in self.names:
                    raise ValueError(f"the class {index} has no name in data.yaml")
            except ValueError as error:
                raise PetsegError(
                    f"{self.path}, line {number} can't be read ({error}); fix or remove it."
                ) from error
            label = self.names.get(index, index)
            shapes.append(Shape(label, Polygons((points * shown,))))
        shapes.sort(key=lambda shape: -shape.region.area)
        return draw_shapes(shapes, shown, self.path)


def yolo_files(folder: Folder) -> list[FoundFile]:
    """Return the text files that have an image's name, if any of them looks like YOLO's."""
    images = {(file.key, file.path.stem) for file in folder.images()}
    texts = [file for file in folder.with_suffix(".txt") if (file.key, file.path.stem) in images]
    return texts if any(map(_looks_like_yolo, texts)) else []


def find_yolo(folder: Folder) -> Found:
    """Match each image with the text file of its name, in labels/ or in the same folder."""
    images = folder.images()
    unreadable = []
    try:
        names, source = _names(folder)
    except PetsegError as error:
        names, source = {}, ""
        unreadable.append(as_example(error, folder.root))
    folder.findings.problem("Files of class names that can't be read", unreadable, "fix them")
    texts = {(file.key, file.path.stem): file for file in yolo_files(folder)}
    found = []
    for image in images:
        text = texts.get((image.key, image.path.stem))
        found.append(found_image(image, YoloFile(text.path, names) if text else None))
    orphans = [
        file
        for file in folder.with_suffix(".txt")
        if file.role == "mask" and (file.key, file.path.stem) not in texts
    ]
    folder.read.update(file.path for file in orphans)
    names_of_orphans = [str(file.relative) for file in orphans]
    folder.findings.note("Text files without an image, left out", names_of_orphans)
    classes = {BACKGROUND_KEY: (BACKGROUND_KEY,), **{name: (name,) for name in names.values()}}
    rule = "the text file with the image's name"
    return Found(found, classes if names else None, source, rule)


def _looks_like_yolo(file: FoundFile) -> bool:
    try:
        with file.path.open("rb") as content:
            return _LINE.match(content.read(2**12)) is not None
    except OSError:
        return False


def _names(folder: Folder) -> tuple[dict[int, str], str]:
    """Return the names of the classes by number, and the file that has them."""
    for file in folder.with_suffix(".yaml", ".yml"):
        folder.read.add(file.path)
        if not re.search(r"^names\s*:", read_text(file.path), re.MULTILINE):
            continue
        content = read_yaml(file.path)
        names = content.get("names") if isinstance(content, dict) else None
        if isinstance(names, list):
            names = dict(enumerate(names))
        if isinstance(names, dict) and all(
            isinstance(number, int) and isinstance(name, str | int | float)
            for number, name in names.items()
        ):
            return {number: str(name).strip() for number, name in names.items()}, str(file.relative)
        raise PetsegError(f"{file.path} must have a list of names, such as names: [cat, dog].")
    for file in folder.at_root("classes.txt", "obj.names"):
        lines = [line for _, line in numbered_lines(file.path)]
        return dict(enumerate(lines)), str(file.relative)
    return {}, ""
