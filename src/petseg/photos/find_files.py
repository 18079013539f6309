"""Find the photos named on the command line: files, folders and glob patterns."""

import glob
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from petseg.core.errors import PetsegError
from petseg.image_files import IMAGE_SUFFIXES

MASK, OVERLAY, CUTOUT = "_mask.png", "_overlay.jpg", "_cutout.png"
"""The suffixes of a photo's result files."""


@dataclass(frozen=True)
class InputFile:
    """A photo to predict."""

    path: Path
    output_name: str  # its results are named OUT/output_name + MASK, OVERLAY or CUTOUT


def find_files(names: Iterable[str], out: Path) -> list[InputFile]:
    """Return the named photos in order, each once, without earlier results in `out`.

    A photo found in a folder keeps its subfolder in `out`. Photos whose results would share a name
    keep their suffix. Raises PetsegError if a name matches no photo, or if two photos' results
    would still share a name.
    """
    found: dict[Path, tuple[Path, Path]] = {}  # resolved path: (path as named, relative path)
    for name in names:
        photos = [(path, relative) for path, relative in _expand(name) if not _is_result(path, out)]
        if not photos:
            raise PetsegError(
                f"{name} contains only results of petseg predict; choose other photos."
            )
        for path, relative in photos:
            found.setdefault(path.resolve(), (path, relative))
    stems = Counter(relative.with_suffix("") for _, relative in found.values())
    files: dict[str, InputFile] = {}
    for path, relative in found.values():
        stem = relative.with_suffix("")
        file = InputFile(path, str(stem if stems[stem] == 1 else relative))
        if file.output_name in files:
            raise PetsegError(
                f"The results of {files[file.output_name].path} and {path} would have the same "
                f"name, {file.output_name}; pass one folder that contains both, or use another "
                "--out for one of them."
            )
        files[file.output_name] = file
    return list(files.values())


def _expand(name: str) -> list[tuple[Path, Path]]:
    """Return (path, relative path) of every photo that a name refers to."""
    path = Path(name)
    if name and path.is_dir():
        photos = [(file, file.relative_to(path)) for file in sorted(_files_below(path))]
        if not photos:
            supported = ", ".join(sorted(IMAGE_SUFFIXES))
            raise PetsegError(f"{name} contains no photos; supported types are {supported}.")
        return photos
    if name and (path.exists() or path.is_symlink()):  # a broken link is reported when it is read
        return [(path, Path(path.name))]
    matches = map(Path, sorted(glob.glob(name, recursive=True)))
    photos = [(match, Path(match.name)) for match in matches if match.is_file()]
    if not photos:
        raise PetsegError(f"{name!r} matches no file or folder; check the name or pattern.")
    return photos


def _files_below(folder: Path) -> Iterator[Path]:
    """Yield all files with an image suffix. Raises OSError if a folder can't be read."""

    def fail(error: OSError) -> None:
        raise error

    for parent, _, files in os.walk(folder, onerror=fail):
        yield from (
            Path(parent, file) for file in files if Path(file).suffix.lower() in IMAGE_SUFFIXES
        )


def _is_result(path: Path, out: Path) -> bool:
    return path.name.endswith((MASK, OVERLAY, CUTOUT)) and out.resolve() in path.resolve().parents
