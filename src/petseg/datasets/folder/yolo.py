"""YOLO's polygons: labels/NAME.txt with lines "class x y x y ..." from 0 to 1, and data.yaml.

YOLO keeps no order of objects; larger objects are drawn first, so that smaller objects cover them.
"""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from petseg.config.validation import read_yaml
from petseg.core.errors import PetsegError
from petseg.datasets.folder.files import Folder, FoundFile
from petseg.datasets.folder.findings import as_example
from petseg.datasets.folder.found import Found, FoundImage, found_image
from petseg.datasets.folder.labels import BACKGROUND_KEY, RawLabels, Size
from petseg.datasets.folder.lookup import simplify
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
                    raise ValueError(
                        "an odd number of coordinates; if the last is a confidence, remove it"
                    )
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
    texts = list(_texts_of(folder).values())
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
    texts = _texts_of(folder)
    found = [
        found_image(image, YoloFile(texts[image].path, names) if image in texts else None)
        for image in images
    ]
    lists: dict[Split, list[FoundFile]] = {}
    if not any(image.split for image in found):
        lists = _find_lists(folder, data)
        found = _assign_splits(folder, found, data, lists)
    orphans = [
        file
        for file in folder.with_suffix(".txt")
        if file.role == "mask"
        and file not in set(texts.values())
        and file.path.name.lower() not in _NAME_LISTS
    ]
    folder.read.update(file.path for file in orphans)
    names_of_orphans = [str(file.relative) for file in orphans]
    folder.findings.note("Text files without an image, left out", names_of_orphans)
    classes = {BACKGROUND_KEY: (BACKGROUND_KEY,), **{name: (name,) for name in names.values()}}
    rule = "the text file with the image's name"
    return Found(found, classes if names else None, source, rule, lists)


def _texts_of(folder: Folder) -> dict[FoundFile, FoundFile]:
    """Return the text file of each image that has one: of its name, else of a similar one."""
    texts = {(file.key, file.path.stem): file for file in folder.with_suffix(".txt")}
    found, similar = dict[FoundFile, FoundFile](), defaultdict[object, list[FoundFile]](list)
    for image in folder.images():
        if text := texts.pop((image.key, image.path.stem), None):
            found[image] = text
        else:
            similar[image.key, simplify(image.path.stem)].append(image)
    for (key, stem), text in texts.items():
        images = similar.pop((key, simplify(stem)), [])
        if len(images) == 1:
            found[images[0]] = text
    return found


def _find_lists(folder: Folder, data: _DataYaml) -> dict[Split, list[FoundFile]]:
    """Return the lists of images that data.yaml names, which may have an outdated path."""
    by_path = {file.relative.parts: file for file in folder.with_suffix(".txt")}
    lists: dict[Split, list[FoundFile]] = {}
    for split, places in data.splits.items():
        files = [by_path.get(tail) for place in places for tail in _tails(place, 1)]
        if found := list(filter(None, files)):
            lists[split] = found
    folder.read.update(file.path for files in lists.values() for file in files)
    return lists


def _assign_splits(
    folder: Folder,
    images: Sequence[FoundImage],
    data: _DataYaml,
    lists: Mapping[Split, list[FoundFile]],
) -> list[FoundImage]:
    """Return the images in the splits whose folders data.yaml names; all if it names none."""
    members = {split: _members(images, places) for split, places in data.splits.items()}
    findings = folder.findings
    missing = [split for split, places in data.splits.items() if not members[split]]
    findings.note(
        f"Splits of {data.source} without an image in the folder",
        [f"{split}: {', '.join(data.splits[split])}" for split in missing if split not in lists],
    )
    if members.get("train") and members["train"] == members.get("val"):
        findings.note(f"{data.source} has the same images in train and val, which isn't a split")
        return list(images)
    if members.get("test") and members["test"] == members.get("val"):
        findings.note(f"{data.source} has the same images in val and test: they are the test split")
        del members["val"]
    splits_of: dict[FoundFile, list[Split]] = defaultdict(list)
    for split, files in members.items():
        for file in files:
            splits_of[file].append(split)
    twice = [str(file.relative) for file, splits in splits_of.items() if len(splits) > 1]
    findings.problem(f"Images in two splits of {data.source}", twice, "leave each in one")
    if members.get("train"):
        rest = [str(i.file.relative) for i in images if i.file not in splits_of]
        findings.note(f"Images in no split of {data.source}, left out", rest)
        images = [image for image in images if image.file in splits_of]
    return [
        replace(image, split=splits_of[image.file][0]) if image.file in splits_of else image
        for image in images
    ]


def _members(images: Sequence[FoundImage], places: Sequence[str]) -> set[FoundFile]:
    """Return the images below the folders that data.yaml names."""
    members: set[FoundFile] = set()
    for place in places:
        below = (
            {image.file for image in images if _contains(image.file.relative.parts[:-1], tail)}
            for tail in _tails(place, 2)
        )
        members |= next(filter(None, below), set())
    return members


def _tails(place: str, shortest: int) -> list[tuple[str, ...]]:
    """Return the path that data.yaml gives, and its ends of so many parts or more.

    The start may be outdated.
    """
    parts = [part for part in place.replace("\\", "/").split("/") if part not in ("", ".", "..")]
    starts = range(1, len(parts) - shortest + 1)
    return [tuple(parts), *(tuple(parts[start:]) for start in starts)]


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
    files = folder.with_suffix(".yaml", ".yml")
    folder.read.update(file.path for file in files)
    named = [f for f in files if re.search(r"^names\s*:", read_text(f.path), re.MULTILINE)]
    named.sort(key=lambda f: (f.path.stem.lower() != "data", len(f.relative.parts), f.relative))
    if named:
        data, others = _parse(named[0]), named[1:]
        differ = [str(file.relative) for file in others if _parse(file).names != data.names]
        what = f"Lists of classes that differ from {data.source}"
        folder.findings.problem(what, differ, "make them the same, or remove one")
        return data
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
