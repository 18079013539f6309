"""Splits: by the export or its folders, by lists, and what is missing by hash."""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import PurePosixPath

from petseg.config.data_params import FolderParams
from petseg.core.errors import PetsegError
from petseg.core.hashing import NO_GROUP, group_of, unit_hash
from petseg.datasets.folder.findings import as_example
from petseg.datasets.folder.found import FoundImage
from petseg.datasets.folder.listing.files import Folder, FoundFile
from petseg.datasets.folder.listing.lookup import Lookup
from petseg.datasets.folder.listing.names import SPLIT_WORDS, Split, simplify, split_in
from petseg.datasets.folder.other_lists import report_other_lists
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
_FIRST_WORD = re.compile(r"([A-Za-z][a-z]*).*", re.DOTALL)  # "test" of testA_1
_QUOTED = re.compile(r"""(["'])(.+?)\1(?=[\s,;]|$)""")
_ROBOFLOW = r"(.*)\.rf\."


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
        report_other_lists(folder, images, lists)
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
    if params.group != NO_GROUP:
        named = {split: splits[split] for split in splits if split != "test" or not draws_test}
        _note_divided_groups(folder, named, params)
    elif draws_test or "val" not in splits:
        _note_copies(folder, splits["train"] + (splits["test"] if draws_test else []))
    return splits


def _note_divided_groups(
    folder: Folder, splits: Mapping[Split, Sequence[FoundImage]], params: FolderParams
) -> None:
    """Say which groups are in several of the splits that the folder itself names."""
    splits_of = defaultdict[str, set[Split]](set)
    for split, images in splits.items():
        for image in images:
            name = image.file.name.removeprefix(f"{image.file.split}/")
            group = group_of(name, params.group)
            if group != name and _is_kept(image, params):
                splits_of[group].add(split)
    folder.findings.note(
        "Groups of dataset.folder.group that the folder's own splits divide",
        [group for group, found in splits_of.items() if len(found) > 1],
        "if their images are alike, the scores will be too good",
    )


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
                found = next(filter(None, map(lookup.find, _names_in(line))), None)
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
