"""The photos that a person names on the command line: files, folders and patterns."""

import glob
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from petseg.datasets.pictures import SUFFIXES
from petseg.errors import PetsegError


@dataclass(frozen=True)
class Found:
    """A photo, and the place below the output folder that what is made of it begins with."""

    path: Path
    name: str


def find_photos(named: Iterable[str], leave_out: Path) -> list[Found]:
    """The photos that are named, each once, in order; those in `leave_out` are the results of an earlier run.

    Photos of a folder keep their place below it. Raises PetsegError if a name stands for nothing.
    """
    found: dict[Path, Path] = {}  # the photo to its place
    for name in named:
        for path, place in _photos_of(name, leave_out.resolve()):
            found.setdefault(path, place)
    stems = Counter(place.with_suffix("") for place in found.values())
    return [
        Found(path, str(place.with_suffix("") if stems[place.with_suffix("")] == 1 else place))
        for path, place in found.items()
    ]


def _photos_of(name: str, leave_out: Path) -> list[tuple[Path, Path]]:
    """(photo, its place) for all that one name stands for."""
    path = Path(name)
    if path.is_dir():
        inside = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
        photos = [(file, file.relative_to(path)) for file in inside if leave_out not in file.resolve().parents]
        if not photos:
            raise PetsegError(f"{name} is a folder without photos ({', '.join(sorted(SUFFIXES))}).")
        return photos
    if path.exists():
        return [(path, Path(path.name))]
    matching = [Path(match) for match in sorted(glob.glob(name, recursive=True))]
    if not matching:
        raise PetsegError(f"{name} is not there: no file, no folder, and no file fits it as a pattern.")
    return [(file, Path(file.name)) for file in matching if file.is_file()]
