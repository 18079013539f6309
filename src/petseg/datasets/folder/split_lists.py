"""Lists of a split's images, such as train.txt."""

import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

from petseg.core.errors import PetsegError
from petseg.datasets.folder.findings import as_example
from petseg.datasets.folder.found import FoundImage
from petseg.datasets.folder.group_names import group_names
from petseg.datasets.folder.listing.files import Folder, FoundFile
from petseg.datasets.folder.listing.lookup import Lookup
from petseg.datasets.folder.listing.names import (
    SPLIT_WORDS,
    Split,
    names_other_files,
    simplify,
    split_in,
)
from petseg.datasets.folder.text_files import numbered_lines
from petseg.images.files import IMAGE_SUFFIXES

_LIST_FOLDERS = (
    *("", "splits", "lists", "imagesets/segmentation", "imagesets/main", "imagesets"),
    "annotations",
)
_WORDS = r"([_-]?(list|files?|filenames|images?|names?|ids|set|split))?"
_UNSURE = {"eval", "dev", "holdout", "validate"}  # such a file may hold anything
_LIST_NAME = re.compile(
    r"((list|autosplit|split|files?|images?)[_-])?"
    rf"(?P<split>{'|'.join(sorted(SPLIT_WORDS.keys() - _UNSURE))}){_WORDS}\.(txt|lst)"
)
_MAX_SHOWN = 100  # characters of a line
_QUOTED = re.compile(r"""(["'])(.+?)\1(?=[\s,;]|$)""")


def find_lists(folder: Folder) -> dict[Split, list[FoundFile]]:
    """Return the lists in the first of the usual places that has any; report the others."""
    texts = folder.with_suffix(".txt", ".lst")
    found = [lists for place in _LIST_FOLDERS if (lists := _lists_in(place, texts))]
    folder.read.update(file.path for lists in found for fs in lists.values() for file in fs)
    unused = [str(file.relative) for lists in found[1:] for fs in lists.values() for file in fs]
    folder.findings.note("Lists that aren't used, since others come first", unused)
    return found[0] if found else {}


def _lists_in(place: str, texts: Sequence[FoundFile]) -> dict[Split, list[FoundFile]]:
    lists: dict[Split, list[FoundFile]] = {}
    trainval = list[FoundFile]()
    for file in texts:
        folder, _, name = str(file.relative).lower().rpartition("/")
        split = split_in(name)
        if folder == place and split and (match := _LIST_NAME.fullmatch(name)):
            of_split = trainval if match["split"] == "trainval" else lists.setdefault(split, [])
            of_split.append(file)
    if trainval and not lists.keys() & {"train", "val"}:
        lists["train"] = trainval
    return lists


def read_lists(
    folder: Folder, images: Sequence[FoundImage], lists: Mapping[Split, Sequence[FoundFile]]
) -> list[tuple[Split, FoundFile, str]]:
    """Return the images that the lists name, each with its split and its line for messages.

    A line may name an image's mask, too. If that isn't the one it has, that is a problem.
    """
    lookup = Lookup(image.file for image in images)
    masks = _Masks(folder, images)
    groups = group_names(image.file for image in images)
    listed: list[tuple[Split, FoundFile, str]] = []
    unknown, of_groups, other_masks, unreadable = [], [], [], []
    for split, file in ((s, file) for s, files in lists.items() for file in files):
        try:
            lines = list(numbered_lines(file.path))
        except PetsegError as error:
            unreadable.append(as_example(error, folder.root))
            continue
        for number, line in lines:
            place = f"{_shortened(line)!r} ({file.relative}, line {number})"
            found = ((name, image) for name in _names_in(line) if (image := lookup.find(name)))
            if match := next(found, None):
                name, image = match
                listed.append((split, image, place))
                if masks.contradict(image, line.replace(name, "", 1)):
                    other_masks.append(place)
            elif simplify(PurePosixPath(line).name) in groups:
                of_groups.append(place)
            elif not line.startswith("#"):
                unknown.append(place)
    findings = folder.findings
    remedy = "fix or remove them"
    findings.problem("Lists that can't be read", unreadable, remedy)
    findings.problem("Lines of lists that name no image, or more than one", unknown, remedy)
    findings.problem(
        "Lines of lists that name a folder or a prefix instead of an image",
        of_groups,
        "list their images, one a line",
    )
    findings.problem(
        "Lines of lists that pair an image with a mask other than the one found by its name",
        other_masks,
        "name the masks in the lists like their images and remove the others, or remove them from "
        "the lists",
    )
    return listed


class _Masks:
    """The masks of images, and the files that a list may name instead."""

    def __init__(self, folder: Folder, images: Sequence[FoundImage]) -> None:
        parts_of = {f.path: _parts(f.relative.as_posix()) for f in folder.files}
        self._masks = {
            image.file: parts_of.get(image.annotation.path) if image.annotation else ()
            for image in images
            if not image.annotation or image.annotation.path.suffix.lower() in IMAGE_SUFFIXES
        }
        self._files = {
            end
            for file in folder.with_suffix(*IMAGE_SUFFIXES)
            for end in (parts_of[file.path][-1:], parts_of[file.path][-2:])
        }

    def contradict(self, image: FoundFile, rest: str) -> bool:
        """Whether what follows an image's name in a list is another file of masks than its own.

        Lists of polygons may name rendered masks, which petseg doesn't use.
        """
        if image not in self._masks:
            return False
        own, mask = _parts(image.relative.as_posix()), self._masks[image] or ()
        others = False
        for parts in map(_parts, re.split(r"[\s,;\"']+", rest)):
            if _end_alike(parts, mask):
                return False
            is_file = parts[-2:] in self._files or parts[-1:] in self._files
            others |= is_file and not _end_alike(parts, own) and not names_other_files(parts)
        return others


def _shortened(line: str) -> str:
    return line if len(line) <= _MAX_SHOWN else f"{line[:_MAX_SHOWN]}..."


def _end_alike(parts: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """Whether one of two paths is the end of the other; an empty one isn't."""
    length = min(len(parts), len(other))
    return length > 0 and parts[-length:] == other[-length:]


def _parts(path: str) -> tuple[str, ...]:
    parts = simplify(path).replace("\\", "/").split("/")
    return tuple(part for part in parts if part not in ("", ".", ".."))


def _names_in(line: str) -> tuple[str, ...]:
    """Return what may be an image's name: the line and its first word, the likelier one first.

    "images/1.jpg masks/2.png" isn't the name of a file in a folder "1.jpg masks". Quotes hold a
    name together.
    """
    if quoted := _QUOTED.match(line):
        return (quoted[2], line)
    first = _first_name(line)
    is_file = PurePosixPath(first).suffix.lower() in IMAGE_SUFFIXES
    has_path_behind = "/" in line[len(first) :].replace("\\", "/")
    return (first, line) if is_file and has_path_behind else (line, first)


def _first_name(line: str) -> str:
    """Return what may be an image's name, with a mask or numbers behind it.

    Nothing of "cat (2).jpg", which is the name of one file.
    """
    words = [word.strip("\"'") for word in re.split(r"[\s,;]+", line)]
    first, last = words[0], PurePosixPath(words[-1])
    has_suffix = PurePosixPath(first).suffix.lower() in IMAGE_SUFFIXES
    is_file = not re.search(r"[,;]", line) and last.suffix.lower() in IMAGE_SUFFIXES
    stem = simplify(PurePosixPath(first).name)
    return "" if is_file and not has_suffix and stem not in simplify(last.stem) else first
