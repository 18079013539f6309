"""Files that may say which split an image is in, in a form or a place that petseg doesn't read.

train_test_split.txt, test.csv, metadata.csv with a column "split", splits.json, lists elsewhere
"""

import csv
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

from petseg.datasets.folder.found import FoundImage
from petseg.datasets.folder.group_names import group_names, is_numbered
from petseg.datasets.folder.listing.files import Folder, FoundFile
from petseg.datasets.folder.listing.names import (
    OTHER_TASKS,
    SHORT_SPLITS,
    SPLIT_WORDS,
    Split,
    simplify,
    split_in,
    splits_in,
    words_of,
)
from petseg.datasets.folder.text_files import decode

_TABLES = (".csv", ".tsv", ".json", ".jsonl", ".yaml", ".yml")
_LISTS = (".txt", ".lst")
_BINARY_TABLES = (".xls", ".xlsx", ".npy", ".pkl", ".mat")
_NO_LISTS = ("README", "readme", "requirements", *OTHER_TASKS)  # beginnings of names
_RESULTS = {  # words in the names of files that a model's scores are in
    *("result", "results", "score", "scores", "report", "metrics", "iou", "log"),
    *("prediction", "predictions", "features", "notes"),
}
_SHARE_NAMED = 0.1  # of the images, in a file that names the splits
_SPLIT_NAMES = {"split", "splits", "partition", "partitions"}  # in a file's name
_SPLIT_COLUMNS = {*_SPLIT_NAMES, "fold", "subset", "set"}
_SPLIT_NUMBERS = {"0", "1", "2"}
_FLAGS = {"0", "1", "true", "false", "yes", "no", "x"}
_IS_SPLIT = re.compile(r"is[_ -]?(train|val|validation|test)")
_SPLIT_KEY = re.compile(rf"""["']?\b(split|{"|".join(SPLIT_WORDS)})\b["']?\s*:""")
_SEPARATORS = re.compile(r"""[\s,;:|"'/\\\[\]{}()]+""")
_HEAD_BYTES = 2**24


def report_unread_splits(
    folder: Folder, images: Sequence[FoundImage], lists: Mapping[Split, Sequence[FoundFile]]
) -> None:
    """Report what may name the splits and isn't used, and belongs to no single image.

    Where there are lists, only others next to them count, such as eval.txt.
    """
    used = folder.read | {image.annotation.path for image in images if image.annotation}
    names = _ImageNames([image.file for image in images])
    stems = {image.file.path.stem for image in images}
    with_split = {stem for stem in stems if splits_in(stem)}
    places = {file.path.parent for files in lists.values() for file in files}
    candidates = [
        file
        for file in folder.files
        if file.path not in used
        and not file.path.name.startswith(_NO_LISTS)
        and not _is_of_an_image(file.path.name, with_split)
    ]
    if lists:
        candidates = [
            file
            for file in candidates
            if file.path.parent in places
            and file.path.stem.lower() in SPLIT_WORDS.keys() | SHORT_SPLITS
        ]
    folder.findings.problem(
        "Files that may name the splits, in a form or a place that petseg doesn't read",
        [str(file.relative) for file in candidates if _may_name_splits(file, names)],
        "write the names to train.txt, val.txt and test.txt, one a line, or remove the files",
    )


def _is_of_an_image(name: str, stems: set[str]) -> bool:
    """Whether a file's name begins with an image's, as train_1.txt and train_1_boxes.csv."""
    return any(name[:end] in stems for end, sign in enumerate(name) if sign in "._-")


class _ImageNames:
    """The names of images, and of groups of them."""

    def __init__(self, images: Sequence[FoundFile]) -> None:
        self.num_images = len(images)
        self.own = defaultdict[str, set[FoundFile]](set)
        for image in images:
            self.own[simplify(image.path.stem)].add(image)
        self._groups = group_names(images)

    def count(self, names: set[str], *, any_group: bool) -> int:
        """Return how many images the names stand for.

        Groups may be classes, and numbers may be anything, so without `any_group` at least two
        names must have letters and digits.
        """
        groups = names & self._groups.keys()
        if not any_group:
            groups = {name for name in groups if is_numbered(name)}
            groups = groups if len(groups) > 1 else set()
        own = [self.own[name] for name in names & self.own.keys()]
        return len(set[FoundFile]().union(*own, *(self._groups[name] for name in groups)))


def _may_name_splits(file: FoundFile, names: _ImageNames) -> bool:
    """Whether a file names some of the images, and splits, or has a line for each image.

    Of tables that aren't text, the name must do.
    """
    words = set(words_of(file.path.stem))
    is_about_splits = bool(_SPLIT_NAMES & words)
    is_short = file.path.stem.lower() in SHORT_SPLITS
    is_of_split = is_short or bool(splits_in(file.path.stem) - {"train"})
    if words & _RESULTS or file.suffix not in (*_TABLES, *_LISTS, *_BINARY_TABLES):
        return False
    if file.suffix not in _TABLES and not (is_about_splits or is_of_split):
        return False
    if file.suffix in _BINARY_TABLES:
        return True
    try:
        with file.path.open("rb") as content:
            head = decode(content.read(_HEAD_BYTES), errors="replace").lstrip()
            head = head if not content.read(1) else head.rpartition("\n")[0]
    except OSError:
        return False
    if is_about_splits and len(head.splitlines()) >= len(names.own):
        return True
    tokens = {simplify(token) for token in _SEPARATORS.split(head)}
    files = [token for token in tokens if not token.replace(".", "").isdecimal()]
    found = tokens | {token.partition(".")[0] for token in files}
    found |= {PurePosixPath(token).stem for token in files}
    keys = {match[1] for match in _SPLIT_KEY.finditer(head)}
    is_table = file.suffix in (".csv", ".tsv")
    has_splits = _has_split_column(head) if is_table else "split" in keys or len(keys) > 1
    any_group = file.suffix in _LISTS or (is_about_splits and has_splits)
    num_named = names.count(found, any_group=any_group)
    if num_named < max(1, _SHARE_NAMED * names.num_images):
        return False
    return is_of_split or is_about_splits or (has_splits and (is_table or num_named > 1))


def _has_split_column(text: str) -> bool:
    """Whether a column of a table says which split each image is in."""
    try:
        header, *rows = csv.reader(re.sub(r"[;\t]", ",", text).splitlines())
    except (ValueError, csv.Error):
        return False
    flags = set[Split]()  # the splits that have a column of their own
    for i, name in enumerate(cell.strip().lower() for cell in header):
        cells = {row[i].strip().lower() for row in rows if i < len(row) and row[i].strip()}
        if name in SPLIT_WORDS and cells <= _FLAGS:
            flags.add(SPLIT_WORDS[name])
        is_numbered = name in _SPLIT_NAMES and cells <= _SPLIT_NUMBERS
        is_short = name in _SPLIT_COLUMNS and cells <= SPLIT_WORDS.keys() | SHORT_SPLITS
        is_split = _IS_SPLIT.fullmatch(name) or is_numbered or is_short
        if len(flags) > 1 or (len(cells) > 1 and is_split):
            return True
        splits = set(map(split_in, cells))
        if splits and None not in splits and (len(splits) > 1 or name in _SPLIT_COLUMNS):
            return True
    return False
