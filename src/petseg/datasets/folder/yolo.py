"""YOLO's polygons: labels/NAME.txt with lines "class x y x y ..." from 0 to 1, and data.yaml.

YOLO keeps no order of objects; larger objects are drawn first, so that smaller objects cover them.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from petseg.config.validation import read_yaml
from petseg.core.errors import PetsegError
from petseg.datasets.folder.files import Folder, FoundFile
from petseg.datasets.folder.findings import as_example
from petseg.datasets.folder.found import Found, FoundImage, found_image
from petseg.datasets.folder.labels import BACKGROUND_KEY, RawLabels, Size
from petseg.datasets.folder.lookup import Lookup, simplify
from petseg.datasets.folder.names import Split
from petseg.datasets.folder.shapes import Polygons, Shape, draw_shapes, polygon
from petseg.datasets.folder.text_files import numbered_lines, read_text

_BOX_FIELDS = 5
_SPLITS: tuple[Split, ...] = ("train", "val", "test")  # keys of data.yaml
_NAME_LISTS = ("classes.txt", "obj.names")
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
                if len(fields) % 2 == 0:
                    raise ValueError("an odd number of coordinates; a confidence must be removed")
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


@dataclass(frozen=True)
class _DataYaml:
    """What describes an export: the names of its classes by number, and where its splits are."""

    source: str = ""  # empty if there is no such file
    names: dict[int, str] = field(default_factory=dict)
    splits: dict[Split, tuple[str, ...]] = field(default_factory=dict)  # folders or lists


def yolo_files(folder: Folder) -> list[FoundFile]:
    """Return the text files that have an image's name, if any of them looks like YOLO's."""
    images = set(map(_place, folder.images()))
    texts = [file for file in folder.with_suffix(".txt") if _place(file) in images]
    return texts if any(map(_looks_like_yolo, texts)) else []


def find_yolo(folder: Folder) -> Found:
    """Match each image with the text file of its name, in labels/ or in the same folder."""
    images = folder.images()
    unreadable = []
    try:
        data = _read_data(folder)
    except PetsegError as error:
        data = _DataYaml()
        unreadable.append(as_example(error, folder.root))
    folder.findings.problem("Files of class names that can't be read", unreadable, "fix them")
    names, source = data.names, data.source
    texts = {_place(file): file for file in yolo_files(folder)}
    found = []
    for image in images:
        text = texts.get(_place(image))
        found.append(found_image(image, YoloFile(text.path, names) if text else None))
    if not any(image.split for image in found):
        found = _assign_splits(folder, found, data)
    orphans = [
        file
        for file in folder.with_suffix(".txt")
        if file.role == "mask"
        and _place(file) not in texts
        and file.path.name.lower() not in _NAME_LISTS
    ]
    folder.read.update(file.path for file in orphans)
    names_of_orphans = [str(file.relative) for file in orphans]
    folder.findings.note("Text files without an image, left out", names_of_orphans)
    classes = {BACKGROUND_KEY: (BACKGROUND_KEY,), **{name: (name,) for name in names.values()}}
    rule = "the text file with the image's name"
    return Found(found, classes if names else None, source, rule)


def _place(file: FoundFile) -> tuple[object, str]:
    """Return what an image and its text file have in common."""
    return file.key, simplify(file.path.stem)


def _assign_splits(
    folder: Folder, images: Sequence[FoundImage], data: _DataYaml
) -> list[FoundImage]:
    """Return the images in the splits that data.yaml names."""
    lookup = Lookup(image.file for image in images)
    split_of: dict[FoundFile, Split] = {}
    missing, twice = [], 0
    for split, places in data.splits.items():
        for place in places:
            members = _members(folder, images, lookup, place)
            twice += sum(split_of.get(file, split) != split for file in members)
            split_of.update(dict.fromkeys(members, split))
            if not members:
                missing.append(f"{split}: {place}")
    findings = folder.findings
    if twice:
        what = f"{data.source} gives two splits the same images ({twice}), so it doesn't count"
        findings.note(f"{what} for the splits")
        return list(images)
    findings.note(f"Splits in {data.source} without an image in the folder", missing)
    return [replace(image, split=split_of.get(image.file)) for image in images]


def _members(
    folder: Folder, images: Sequence[FoundImage], lookup: Lookup, place: str
) -> list[FoundFile]:
    """Return the images below a folder or in a list, which data.yaml may give an outdated start."""
    parts = tuple(part for part in PurePosixPath(place).parts if part not in ("/", ".", ".."))
    if not place.endswith(".txt"):
        return [image.file for image in images if _contains(image.file.relative.parts[:-1], parts)]
    lists = [file for file in folder.files if file.relative.parts[-len(parts) :] == parts]
    folder.read.update(file.path for file in lists)
    lines = [line for file in lists for _, line in numbered_lines(file.path)]
    return [file for line in lines if (file := lookup.find(line))]


def _contains(parts: tuple[str, ...], some: tuple[str, ...]) -> bool:
    last = len(parts) - len(some)
    return any(parts[start : start + len(some)] == some for start in range(last + 1))


def _looks_like_yolo(file: FoundFile) -> bool:
    try:
        with file.path.open("rb") as content:
            return _LINE.match(content.read(2**12)) is not None
    except OSError:
        return False


def _read_data(folder: Folder) -> _DataYaml:
    """Return what data.yaml says, or else a list of names. Raises PetsegError."""
    found = []
    for file in folder.with_suffix(".yaml", ".yml"):
        folder.read.add(file.path)
        if re.search(r"^names\s*:", read_text(file.path), re.MULTILINE):
            found.append(_parse(file))
    others = [data.source for data in found[1:] if data.names != found[0].names]
    if others:
        folder.findings.problem(
            f"Lists of classes that differ from {found[0].source}", others, "make them the same"
        )
    if found:
        return found[0]
    for file in folder.at_root(*_NAME_LISTS):
        lines = [line for _, line in numbered_lines(file.path)]
        return _DataYaml(str(file.relative), dict(enumerate(lines)))
    return _DataYaml()


def _parse(file: FoundFile) -> _DataYaml:
    content = read_yaml(file.path)
    names = content.get("names") if isinstance(content, dict) else None
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, dict) or not all(
        isinstance(number, int) and isinstance(name, str | int | float)
        for number, name in names.items()
    ):
        raise PetsegError(f"{file.path} must have a list of names, such as names: [cat, dog].")
    splits: dict[Split, tuple[str, ...]] = {}
    for split in _SPLITS:
        places = content.get(split)
        places = places if isinstance(places, list) else [places]
        if texts := tuple(place for place in places if isinstance(place, str) and place):
            splits[split] = texts
    clean = {number: str(name).strip() for number, name in names.items()}
    return _DataYaml(str(file.relative), clean, splits)
