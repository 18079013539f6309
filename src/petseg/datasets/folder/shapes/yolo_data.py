"""YOLO's data.yaml: the names of the classes, and the folders or lists of the splits."""

import re
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from petseg.config.validation import read_yaml
from petseg.core.errors import PetsegError
from petseg.datasets.folder.found import FoundImage
from petseg.datasets.folder.listing.files import Folder, FoundFile
from petseg.datasets.folder.listing.names import Split
from petseg.datasets.folder.split_lists import find_lists, read_lists
from petseg.datasets.folder.text_files import numbered_lines, read_text

NAME_LISTS = ("classes.txt", "obj.names")
"""The files that may name the classes instead, one a line."""

_SPLITS: tuple[Split, ...] = ("train", "val", "test")  # keys of data.yaml


@dataclass(frozen=True)
class DataYaml:
    """What describes an export: the names of its classes by number, and where its splits are."""

    source: str = ""  # empty if there is no such file
    names: dict[int, str] = field(default_factory=dict)
    splits: dict[Split, tuple[str, ...]] = field(default_factory=dict)  # folders or lists


def read_data(folder: Folder) -> DataYaml:
    """Return what data.yaml says, or else a list of names. Raises PetsegError."""
    files = folder.with_suffix(".yaml", ".yml")
    folder.read.update(file.path for file in files)
    named = [f for f in files if re.search(r"^names\s*:", read_text(f.path), re.MULTILINE)]
    named.sort(key=lambda f: (f.path.stem.lower() != "data", len(f.relative.parts), f.relative))
    if named:
        data = _parse(named[0])
        differ = list[str]()
        for file in named[1:]:
            with suppress(PetsegError):  # it may have nothing to do with YOLO
                differ += [str(file.relative)] * (_parse(file).names != data.names)
        what = f"Lists of classes that differ from {data.source}"
        folder.findings.problem(what, differ, "make them the same, or remove one")
        return data
    for file in folder.at_root(*NAME_LISTS):
        lines = [line for _, line in numbered_lines(file.path)]
        return DataYaml(str(file.relative), dict(enumerate(lines)))
    return DataYaml()


def _parse(file: FoundFile) -> DataYaml:
    content = read_yaml(file.path)
    names = content.get("names") if isinstance(content, dict) else None
    if names and "kpt_shape" in content:
        raise PetsegError(f"{file.path} is of poses (kpt_shape); export a segmentation.")
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
    return DataYaml(str(file.relative), clean, splits)


def apply_splits(folder: Folder, images: Sequence[FoundImage], data: DataYaml) -> list[FoundImage]:
    """Return the images in the splits whose folders or lists data.yaml names, if it names any."""
    members = {split: _members(images, places) for split, places in data.splits.items()}
    lists = _named_lists(folder, data)
    for split, file, _ in read_lists(folder, images, lists):
        members[split].add(file)
    findings = folder.findings
    findings.note(
        f"Splits of {data.source} without an image in the folder",
        [f"{s}: {', '.join(data.splits[s])}" for s in members if not members[s] and s not in lists],
    )
    members = {split: files for split, files in members.items() if files}
    if "train" in members and members["train"] == members.get("val"):
        findings.note(f"{data.source} has equal images in train and val: val is drawn from train")
        del members["val"]
    if "test" in members and members["test"] == members.get("val"):
        findings.note(f"{data.source} has equal images in val and test: val is drawn from train")
        del members["val"]
    if not members or (members.keys() == {"train"} and len(members["train"]) == len(images)):
        return list(images)
    others = {s: files for s, files in find_lists(folder).items() if s not in data.splits}
    for split, file, _ in read_lists(folder, images, others):
        members.setdefault(split, set()).add(file)
    splits_of: dict[FoundFile, list[Split]] = defaultdict(list)
    for image in images:
        for split in (split for split, files in members.items() if image.file in files):
            splits_of[image.file].append(split)
    twice = [str(file.relative) for file, splits in splits_of.items() if len(splits) > 1]
    findings.problem(f"Images in two splits of {data.source}", twice, "leave each in one")
    if "train" in members:
        rest = [str(i.file.relative) for i in images if i.file not in splits_of]
        findings.note(f"Images in no split of {data.source}, left out", rest)
        images = [image for image in images if image.file in splits_of]
    return [
        replace(image, split=splits_of[image.file][0]) if image.file in splits_of else image
        for image in images
    ]


def _named_lists(folder: Folder, data: DataYaml) -> dict[Split, list[FoundFile]]:
    """Return the lists of images that data.yaml names, which may have an outdated path."""
    by_path = {file.relative.parts: file for file in folder.with_suffix(".txt")}
    lists: dict[Split, list[FoundFile]] = {}
    for split, places in data.splits.items():
        files = [next(filter(None, map(by_path.get, _tails(place, 1))), None) for place in places]
        if found := list(filter(None, files)):
            lists[split] = found
    folder.read.update(file.path for files in lists.values() for file in files)
    return lists


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
