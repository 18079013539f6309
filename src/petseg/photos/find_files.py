"""The photos that a person names on the command line: files, folders and patterns."""

import glob
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from petseg.core.errors import PetsegError
from petseg.image_io import SUFFIXES

MASK, OVERLAY, CUTOUT = "_mask.png", "_overlay.jpg", "_cutout.png"
"""What the names of a photo's results end in."""


@dataclass(frozen=True)
class Found:
    """A photo, and what the names of its results begin with, below the output folder."""

    path: Path
    name: str


def find_photos(named: Iterable[str], out: Path) -> list[Found]:
    """The photos that are named, each once, in order; what lies in `out` and is named like a result is left out.

    Photos of a folder keep their place below it; those whose results would have the same names keep their suffix in
    them. Raises PetsegError if a name stands for nothing, or if that isn't enough to tell two photos' results apart.
    """
    found: dict[
        Path, tuple[Path, Path]
    ] = {}  # by where it really lies: the photo as it was named, and its place
    for name in named:
        photos = [(path, place) for path, place in _photos_of(name) if not _is_result(path, out)]
        if not photos:
            raise PetsegError(f"{name} holds nothing but results of petseg predict.")
        for path, place in photos:
            found.setdefault(path.resolve(), (path, place))
    stems = Counter(place.with_suffix("") for _, place in found.values())
    whole = [
        Found(path, str(place.with_suffix("") if stems[place.with_suffix("")] == 1 else place))
        for path, place in found.values()
    ]
    taken: dict[str, Path] = {}
    for photo in whole:
        if photo.name in taken:
            raise PetsegError(
                f"The results of {taken[photo.name]} and of {photo.path} would have the same name, {photo.name}; "
                "name one folder that holds both, or predict them one after the other with another --out."
            )
        taken[photo.name] = photo.path
    return whole


def _photos_of(name: str) -> list[tuple[Path, Path]]:
    """(photo, its place) for all that one name stands for."""
    path = Path(name)
    if name and path.is_dir():
        photos = [(file, file.relative_to(path)) for file in sorted(_files_below(path))]
        if not photos:
            raise PetsegError(f"{name} is a folder without photos ({', '.join(sorted(SUFFIXES))}).")
        return photos
    if name and (path.exists() or path.is_symlink()):  # a link to nothing is told when it is read
        return [(path, Path(path.name))]
    matching = [
        Path(match) for match in sorted(glob.glob(name, recursive=True)) if Path(match).is_file()
    ]
    if not matching:
        raise PetsegError(
            f"{name or 'An empty name'} is not there: no file, no folder, no pattern that a file fits."
        )
    return [(file, Path(file.name)) for file in matching]


def _files_below(folder: Path) -> Iterator[Path]:
    """All pictures, judged by their suffix. A folder that can't be read is an OSError, not an empty one."""

    def fail(error: OSError) -> None:
        raise error

    for parent, _, files in os.walk(folder, onerror=fail):
        yield from (Path(parent, file) for file in files if Path(file).suffix.lower() in SUFFIXES)


def _is_result(path: Path, out: Path) -> bool:
    return path.name.endswith((MASK, OVERLAY, CUTOUT)) and out.resolve() in path.resolve().parents
