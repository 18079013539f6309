"""Find the photos named on the command line: files, folders and glob patterns."""

import glob
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from petseg.core.errors import PetsegError
from petseg.images.files import (
    EVICTED_SUFFIX,
    IMAGE_SUFFIXES,
    OTHER_IMAGE_SUFFIXES,
    evicted_suffix,
    walk_files,
)
from petseg.own_files import has_signature

ResultKind = Literal["mask", "overlay", "cutout"]
RESULT_SUFFIXES: dict[ResultKind, str] = {
    "mask": "_mask.png",
    "overlay": "_overlay.jpg",
    "cutout": "_cutout.png",
}
"""The suffixes of a photo's result files."""


@dataclass(frozen=True)
class InputFile:
    """A photo to predict."""

    path: Path
    output_name: str  # its results are named OUT/output_name + RESULT_SUFFIXES


@dataclass
class InputFiles:
    """What the names on the command line stand for."""

    photos: list[InputFile] = field(default_factory=list)
    unsupported: list[Path] = field(default_factory=list)  # images of other types, in folders
    num_results: int = 0  # images that petseg wrote, which are no photos


def find_files(names: Iterable[str]) -> InputFiles:
    """Find the named photos in order, each once. Images that petseg wrote aren't photos.

    A photo found in a folder keeps its subfolder in the output folder. Photos whose results would
    share a name keep their suffix. Raises PetsegError if a name matches no photo, or if two photos'
    results would still share a name.
    """
    found = InputFiles()
    photos: dict[Path, tuple[Path, Path]] = {}  # resolved path: (path as named, relative path)
    for name in names:
        candidates = _expand(name, found)
        results = {path for path, _ in candidates if _is_result(path)}
        if len(results) == len(candidates):
            raise PetsegError(
                f"{name} contains only results of petseg predict; choose other photos."
            )
        found.num_results += len(results)
        for path, relative in candidates:
            if path not in results:
                photos.setdefault(path.resolve(), (path, relative))
    stems = Counter(relative.with_suffix("") for _, relative in photos.values())
    files: dict[str, InputFile] = {}
    for path, relative in photos.values():
        stem = relative.with_suffix("")
        file = InputFile(path, str(stem if stems[stem] == 1 else relative))
        if file.output_name in files:
            raise PetsegError(
                f"The results of {files[file.output_name].path} and {path} would have the same "
                f"name, {file.output_name}; rename one, pass a folder that contains both of their "
                "folders, or use another --out for one."
            )
        files[file.output_name] = file
    found.photos = list(files.values())
    return found


def describe_unsupported(paths: Iterable[Path]) -> list[str]:
    """Return one sentence per type of image that petseg can't read."""
    by_type: dict[str, list[Path]] = {}
    for path in paths:
        by_type.setdefault(path.suffix.lower(), []).append(path)
    return [
        f"{len(files)} {suffix} {'file was' if len(files) == 1 else 'files were'} not read: "
        f"{list_some(files)}; "
        f"{'download from iCloud' if suffix == EVICTED_SUFFIX else 'convert to JPEG or PNG'}."
        for suffix, files in by_type.items()
    ]


def list_some(items: Iterable[object], limit: int = 10) -> str:
    """Return items as "a, b, c and 7 more"."""
    texts = list(map(str, items))
    more = f" and {len(texts) - limit} more" if len(texts) > limit else ""
    return ", ".join(texts[:limit]) + more


def _expand(name: str, found: InputFiles) -> list[tuple[Path, Path]]:
    """Return (path, relative path) of every photo that a name refers to."""
    path = Path(name)
    if name and path.is_dir():
        files = walk_files(path)
        unsupported = [
            file
            for file in files
            if file.suffix.lower() in OTHER_IMAGE_SUFFIXES or evicted_suffix(file) in IMAGE_SUFFIXES
        ]
        supported = [file for file in files if file.suffix.lower() in IMAGE_SUFFIXES]
        if not supported:
            types = ", ".join(sorted(IMAGE_SUFFIXES))
            message = f"{name} contains no photos; supported types are {types}."
            raise PetsegError("\n".join([message, *describe_unsupported(unsupported)]))
        found.unsupported += unsupported
        return [(file, file.relative_to(path)) for file in supported]
    if name and (path.exists() or path.is_symlink()):  # a broken link is reported when it is read
        return [(path, Path(path.name))]
    matches = map(Path, sorted(glob.glob(name, recursive=True)))
    photos = [(match, Path(match.name)) for match in matches if match.is_file()]
    if not photos:
        raise PetsegError(f"{name!r} matches no file or folder; check the name or pattern.")
    return photos


def _is_result(path: Path) -> bool:
    is_named_so = path.name.endswith(tuple(RESULT_SUFFIXES.values()))
    return is_named_so and path.is_file() and has_signature(path)
