"""Splits: by the export or its folders, by lists, and what is missing by hash."""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from petseg.config.data_params import FolderParams
from petseg.core.hashing import NO_GROUP, group_of, unit_hash
from petseg.datasets.folder.found import FoundImage
from petseg.datasets.folder.listing.files import Folder, FoundFile
from petseg.datasets.folder.listing.names import SPLIT_WORDS, Split
from petseg.datasets.folder.split_lists import find_lists, read_lists
from petseg.datasets.folder.unread_splits import report_unread_splits

_FIRST_WORD = re.compile(r"([A-Za-z][a-z]*).*", re.DOTALL)  # "test" of testA_1
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
        report_unread_splits(folder, images, lists)
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
    verb = "is" if len(splits["test"]) == 1 else "are"
    folder.findings.note(
        f"No test split in the folder: {len(splits['test'])} of {len(candidates)} {unit} {verb} "
        f"drawn by a hash of their names (dataset.folder.test_fraction {params.test_fraction})"
    )
    names = [image.file.name for image in candidates]
    if params.group != NO_GROUP and (
        without := [name for name in names if group_of(name, params.group) == name]
    ):
        folder.findings.note("Names that dataset.folder.group doesn't match, each its own", without)


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
