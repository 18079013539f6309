"""Splits: by the export or its folders, by lists, and what is missing by hash."""

import csv
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import PurePosixPath

from petseg.config.data_params import FolderParams
from petseg.core.errors import PetsegError
from petseg.core.hashing import NO_GROUP, group_of, unit_hash
from petseg.datasets.folder.files import Folder, FoundFile
from petseg.datasets.folder.findings import as_example
from petseg.datasets.folder.found import FoundImage
from petseg.datasets.folder.lookup import Lookup, simplify
from petseg.datasets.folder.names import (
    OTHER_TASKS,
    SPLIT_WORDS,
    Split,
    split_in,
    splits_in,
    words_of,
)
from petseg.datasets.folder.text_files import decode, numbered_lines
from petseg.images.files import IMAGE_SUFFIXES

_LIST_FOLDERS = (
    *("", "splits", "lists", "imagesets/segmentation", "imagesets/main", "imagesets"),
    "annotations",
)
_WORDS = r"([_-]?(list|files?|filenames|images?|names?|ids|set|split))?"
_UNSURE = {"eval", "dev", "holdout", "validate"}  # such a file may hold anything
_LIST_NAME = re.compile(
    r"((list|autosplit|split|files?|images?)[_-])?"
    rf"(?P<split>{'|'.join(SPLIT_WORDS.keys() - _UNSURE)}){_WORDS}\.(txt|lst)"
)
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
_IS_SPLIT = re.compile(r"is[_ -]?(train|val|validation|test)")
_SPLIT_KEY = re.compile(rf"""["']?\b(split|{"|".join(SPLIT_WORDS)})\b["']?\s*:""")
_SEPARATORS = re.compile(r"""[\s,;:|"'/\\\[\]{}()]+""")
_FIRST_WORD = re.compile(r"([A-Za-z][a-z]*).*", re.DOTALL)  # "test" of testA_1
_ROBOFLOW = r"(.*)\.rf\."
_HEAD_BYTES = 2**20


def assign_splits(
    folder: Folder, images: Sequence[FoundImage], params: FolderParams
) -> dict[Split, list[FoundImage]]:
    """Return the images of train, test and, if the folder has one, val.

    A split that no folder and no list names is drawn from train, by a hash of each name: test
    here, val later, when the data are preprocessed. What is odd about the lists is a finding.
    """
    used = set(folder.read)
    lists = find_lists(folder)
    if any(image.split for image in images):
        names = [
            str(file.relative) for fs in lists.values() for file in fs if file.path not in used
        ]
        folder.findings.note("Lists that aren't used, since the splits are known already", names)
        lists = {}
        _report_images_without_split(folder, images)
    else:
        if lists:
            images = _assign_listed(folder, images, lists)
        else:
            _note_split_names(folder, images)
        _report_unread_lists(folder, images, lists)
    splits: dict[Split, list[FoundImage]] = {"train": [], "val": [], "test": []}
    for image in images:
        splits[image.split or "train"].append(image)
    for split in ("val", "test"):  # Kaggle's test images have no masks
        if splits[split] and not any(_is_kept(image, params) for image in splits[split]):
            splits["train"] += splits[split]
            splits[split] = []
            lists.pop(split, None)
    draws_test = not splits["test"] and "test" not in lists
    if draws_test:
        _draw_test(folder, splits, params)
    if not splits["val"] and "val" not in lists:
        del splits["val"]
    if params.group == NO_GROUP and (draws_test or "val" not in splits):
        _note_copies(folder, splits["train"] + (splits["test"] if draws_test else []))
    return splits


def _note_copies(folder: Folder, images: Sequence[FoundImage]) -> None:
    """Say which photos have several copies, as Roboflow augments them, if a split is drawn."""
    names = [image.file.name for image in images]
    copies = Counter(match[1] for name in names if (match := re.search(_ROBOFLOW, name)))
    folder.findings.note(
        "Photos of which Roboflow has made several, drawn one by one into the splits",
        [name for name, count in copies.items() if count > 1],
        f"dataset.folder.group '{_ROBOFLOW}' keeps those of one photo together",
    )


def _is_kept(image: FoundImage, params: FolderParams) -> bool:
    return image.annotation is not None or params.unlabeled != "skip"


def _report_images_without_split(folder: Folder, images: Sequence[FoundImage]) -> None:
    """Report annotated images without a split where the export gives others one, also train."""
    if any(image.file.split for image in images):  # what is outside of the folders is reported
        return
    if not any(image.split == "train" for image in images):
        return
    unclear = [str(i.file.relative) for i in images if i.annotation and not i.split]
    folder.findings.problem(
        "Images in no split, although the export has splits",
        unclear,
        "name their file or subset after train, val or test",
    )


def _report_unread_lists(
    folder: Folder, images: Sequence[FoundImage], lists: Mapping[Split, Sequence[FoundFile]]
) -> None:
    """Report what may name the splits and isn't used, and belongs to no single image.

    Where there are lists, only others next to them count, such as eval.txt.
    """
    used = folder.read | {image.annotation.path for image in images if image.annotation}
    stems = {image.file.path.stem for image in images}
    of_images = tuple(f"{stem}{sign}" for stem in stems if splits_in(stem) for sign in "._-")
    places = {file.path.parent for files in lists.values() for file in files}
    folder.findings.problem(
        "Files that may name the splits, in a form or a place that petseg doesn't read",
        [
            str(file.relative)
            for file in folder.files
            if file.path not in used
            and not file.path.name.startswith((*of_images, *_NO_LISTS))
            and (not lists or (file.path.parent in places and file.path.stem in SPLIT_WORDS))
            and _may_name_splits(file, stems)
        ],
        "write the names to train.txt, val.txt and test.txt, one a line, or remove the files",
    )


def _may_name_splits(file: FoundFile, stems: set[str]) -> bool:
    """Whether a file names some of the images, and splits, or has a line for each image.

    Of tables that aren't text, the name must do.
    """
    words = set(words_of(file.path.stem))
    is_about_splits = bool(_SPLIT_NAMES & words)
    named = splits_in(file.path.stem) - {"train"}
    if words & _RESULTS or file.suffix not in (*_TABLES, *_LISTS, *_BINARY_TABLES):
        return False
    if file.suffix not in _TABLES and not (is_about_splits or named):
        return False
    if file.suffix in _BINARY_TABLES:
        return True
    try:
        with file.path.open("rb") as content:
            head = decode(content.read(_HEAD_BYTES), errors="replace")
    except OSError:
        return False
    if is_about_splits and len(head.splitlines()) >= len(stems):
        return True
    tokens = (PurePosixPath(token) for token in _SEPARATORS.split(head))
    found = {
        token.stem if token.suffix.lower() in IMAGE_SUFFIXES else token.name for token in tokens
    }
    num_named = len(stems & found)
    if num_named < max(1, _SHARE_NAMED * len(stems)):
        return False
    if named or is_about_splits:
        return True
    if file.suffix in (".csv", ".tsv"):
        return _has_split_column(head)
    keys = {match[1] for match in _SPLIT_KEY.finditer(head)}
    return num_named > 1 and ("split" in keys or len(keys) > 1)


def _has_split_column(text: str) -> bool:
    """Whether a column of a table says which split each image is in."""
    try:
        header, *rows = csv.reader(re.sub(r"[;\t]", ",", text).splitlines())
    except (ValueError, csv.Error):
        return False
    for i, name in enumerate(cell.strip().lower() for cell in header):
        cells = {row[i].strip() for row in rows if i < len(row) and row[i].strip()}
        if _IS_SPLIT.fullmatch(name) and len(cells) > 1:
            return True
        splits = set(map(split_in, cells))
        if splits and None not in splits and (len(splits) > 1 or name in _SPLIT_COLUMNS):
            return True
    return False


def _note_split_names(folder: Folder, images: Sequence[FoundImage]) -> None:
    """Say that images are called train_1 and test_1 where nothing else names the splits."""
    firsts = [_FIRST_WORD.sub(r"\1", image.file.path.stem).lower() for image in images]
    if len({SPLIT_WORDS[word] for word in firsts if word in SPLIT_WORDS}) > 1:
        named = [i.file.name for i, word in zip(images, firsts, strict=True) if word in SPLIT_WORDS]
        remedy = "write them to train.txt, val.txt and test.txt if the names mean the splits"
        folder.findings.note(
            "Names that begin with a split, drawn by hash all the same", named, remedy
        )


def _draw_test(folder: Folder, splits: dict[Split, list[FoundImage]], params: FolderParams) -> None:
    """Move the images whose hash is below `test_fraction`, or else the lowest hash, to test."""
    candidates = [image for image in splits["train"] if _is_kept(image, params)]
    others = [image for image in splits["train"] if not _is_kept(image, params)]
    if not candidates:
        return
    groups = [group_of(image.file.name, params.group) for image in candidates]
    hashes = [unit_hash("test", group) for group in groups]
    limit = max(params.test_fraction, math.nextafter(min(hashes), 1))
    kept = [i for i, number in zip(candidates, hashes, strict=True) if number >= limit]
    splits["train"] = [*kept, *others]
    splits["test"] = [i for i, number in zip(candidates, hashes, strict=True) if number < limit]
    unit = "images" if params.group == NO_GROUP else f"images, in {len(set(groups))} groups,"
    folder.findings.note(
        f"No test split in the folder: {len(splits['test'])} of {len(candidates)} {unit} are drawn "
        f"by a hash of their names (dataset.folder.test_fraction {params.test_fraction})"
    )
    names = [image.file.name for image in candidates]
    if params.group != NO_GROUP and (
        without := [name for name in names if group_of(name, params.group) == name]
    ):
        folder.findings.note("Names that dataset.folder.group doesn't match, each its own", without)


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


def _assign_listed(
    folder: Folder, images: Sequence[FoundImage], lists: dict[Split, list[FoundFile]]
) -> list[FoundImage]:
    split_of: dict[FoundFile, Split] = {}
    repeated = []
    for split, file, place in read_lists(folder, images, lists):
        if file in split_of:
            repeated.append(place)
        else:
            split_of[file] = split
    findings = folder.findings
    findings.problem("Lines that list an image again", repeated, "remove them")
    rest = [image for image in images if image.file not in split_of]
    if "train" in lists and rest:
        names = [str(image.file.relative) for image in rest]
        findings.note("Images in no list, left out", names)
        rest = []
    return [
        *(replace(i, split=split_of[i.file]) for i in images if i.file in split_of),
        *(replace(image, split="train") for image in rest),
    ]


def read_lists(
    folder: Folder, images: Sequence[FoundImage], lists: Mapping[Split, Sequence[FoundFile]]
) -> list[tuple[Split, FoundFile, str]]:
    """Return the images that the lists name, each with its split and its line for messages."""
    lookup = Lookup(image.file for image in images)
    listed: list[tuple[Split, FoundFile, str]] = []
    unknown, unreadable = [], []
    for split, files in lists.items():
        for file in files:
            try:
                lines = list(numbered_lines(file.path))
            except PetsegError as error:
                unreadable.append(as_example(error, folder.root))
                continue
            for number, line in lines:
                found = lookup.find(line) or lookup.find(_first_name(line))
                place = f"{line!r} ({file.relative}, line {number})"
                if found:
                    listed.append((split, found, place))
                elif not line.startswith("#"):
                    unknown.append(place)
    findings = folder.findings
    findings.problem("Lists that can't be read", unreadable, "fix or remove them")
    findings.problem(
        "Lines of lists that name no image, or more than one", unknown, "fix or remove them"
    )
    return listed


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
