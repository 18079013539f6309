"""Lists of a split's images, such as train.txt."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

from petseg.core.errors import PetsegError
from petseg.datasets.folder.findings import as_example
from petseg.datasets.folder.found import FoundImage
from petseg.datasets.folder.group_names import group_names
from petseg.datasets.folder.listing.files import Folder, FoundFile
from petseg.datasets.folder.listing.lookup import Lookup
from petseg.datasets.folder.listing.names import SPLIT_WORDS, Split, simplify, split_in
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
    groups = {simplify(name) for name in group_names(image.file for image in images)}
    listed: list[tuple[Split, FoundFile, str]] = []
    unknown, of_groups, other_masks, unreadable = [], [], [], []
    for split, file in ((s, file) for s, files in lists.items() for file in files):
        try:
            lines = list(numbered_lines(file.path))
        except PetsegError as error:
            unreadable.append(as_example(error, folder.root))
            continue
        for number, line in lines:
            place = f"{line!r} ({file.relative}, line {number})"
            name = next(filter(lookup.find, _names_in(line)), "")
            if found := lookup.find(name) if name else None:
                listed.append((split, found, place))
                if masks.contradict(found, line.replace(name, "", 1)):
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
        "Lines of lists that name folders or the beginnings of names",
        of_groups,
        "list their images, one a line",
    )
    findings.problem(
        "Lines of lists that give an image another mask than its name does",
        other_masks,
        "keep only these masks in the folder, and name them like their images; or remove them from "
        "the lists",
    )
    return listed


class _Masks:
    """The masks of images, and all files that a list may name instead."""

    def __init__(self, folder: Folder, images: Sequence[FoundImage]) -> None:
        self._paths = {i.file: i.annotation.path if i.annotation else None for i in images}
        self._files = defaultdict[str, list[FoundFile]](list)
        for file in folder.with_suffix(*IMAGE_SUFFIXES):
            self._files[simplify(file.path.name)].append(file)

    def contradict(self, image: FoundFile, rest: str) -> bool:
        """Whether what follows an image's name in a list is another file than its mask.

        Annotations other than masks may have masks next to them.
        """
        mask = self._paths[image]
        if mask and mask.suffix.lower() not in IMAGE_SUFFIXES:
            return False
        for word in re.split(r"[\s,;\"']+", rest):
            parts = [part for part in word.replace("\\", "/").split("/") if part not in ("", ".")]
            same_name = self._files.get(simplify(parts[-1]), []) if parts else []
            fitting = [f for f in same_name if list(f.relative.parts[-len(parts) :]) == parts]
            if fitting and not any(file == image or file.path == mask for file in fitting):
                return True
        return False


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
