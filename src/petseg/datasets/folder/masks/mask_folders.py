"""Find the folder of the masks if its name doesn't say so, by the names of its files."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import replace

from petseg.datasets.folder.listing.files import Folder, FoundFile
from petseg.datasets.folder.listing.layout import classify
from petseg.datasets.folder.listing.names import (
    Role,
    meaning_of,
    names_masks,
    names_other_files,
    split_in,
    without_split,
)
from petseg.datasets.folder.masks.find_masks import JPEG, MIN_SHARE
from petseg.datasets.folder.masks.image_index import ImageIndex
from petseg.datasets.folder.masks.looks import look_like_masks
from petseg.datasets.folder.other_tools import files_of_other_tools
from petseg.images.files import IMAGE_SUFFIXES

REMEDY = "if that is wrong, name the right folders images and masks"
"""What to do if folders were taken for those of images or masks."""


def mark_mask_folder(folder: Folder) -> bool:
    """Take the folder whose files are named like the images for that of the masks, and note it.

    It must have masks of more than half of the images, which look like masks; a second folder with
    any is a problem. Return whether there is one. The images must be in a folder whose name says
    so, and masks mustn't be JPEG. If there are other annotations that petseg doesn't read, a word
    of the folder's name must stand for masks.
    """
    images = [file for file in folder.images() if file.role == "image"]
    in_folder = _candidates(folder, images, must_be_named=has_other_annotations(folder))
    index = ImageIndex(images)
    masks = {names: _as_masks(files, names, images) for names, files in in_folder.items()}
    matched = {
        names: {image for match in index.match(files).values() for image in match.images}
        for names, files in masks.items()
    }
    similar = [names for names in masks if len(matched[names]) > MIN_SHARE * len(images)]
    masks = {n: files for n, files in masks.items() if matched[n] and look_like_masks(files)}
    fitting = [names for names in similar if names in masks]
    for outer in list(fitting):
        if any(set(in_folder[names]) < set(in_folder[outer]) for names in fitting):
            fitting.remove(outer)
    if not fitting:
        folder.findings.problem(
            "Folders whose files are named like the images, but don't look like masks",
            sorted(map(join_names, similar)),
            "if one has the masks, rename it masks",
        )
        return False
    found = fitting[0]
    _check_split_folders(folder, masks[found], images)
    others = [names for names in masks if set(in_folder[names]).isdisjoint(in_folder[found])]
    if others:
        folder.findings.problem(
            "Folders whose files are named like the images",
            sorted(map(join_names, [found, *others])),
            "rename the one with all classes to masks; if each has one class, merge them",
        )
        return True
    folder.findings.note(
        f"No folder is named masks; taking {join_names(found)}, whose files are named like the "
        "images",
        remedy=REMEDY,
    )
    marked = {file.path: file for file in masks[found]}
    folder.files = [marked.get(file.path, file) for file in folder.files]
    return True


def _check_split_folders(
    folder: Folder, masks: Sequence[FoundFile], images: Sequence[FoundFile]
) -> None:
    """Report folders of masks that may name splits which those of the images don't."""
    of_images = {name for image in images for name in image.folders}
    splits = {name for mask in masks for name in mask.folders if meaning_of(name)[1]} - of_images
    folder.findings.problem(
        "Folders of masks that name splits, unlike those of the images",
        sorted(splits),
        "put the images into such folders, or the masks into one",
    )


def join_names(names: Collection[str]) -> str:
    """Return folders' names for a message."""
    *others, last = sorted(names)
    return f"{', '.join(others)} and {last}" if others else last


def has_other_annotations(folder: Folder) -> bool:
    """Whether there are annotations that petseg doesn't read."""
    texts = folder.with_suffix(".json", ".xml")
    return any(file.role == "mask" for file in texts) or bool(files_of_other_tools(folder))


def _candidates(
    folder: Folder, images: Sequence[FoundFile], *, must_be_named: bool
) -> dict[frozenset[str], list[FoundFile]]:
    """Return the files that may be masks by the names of folders that they are in."""
    files = [
        file
        for file in folder.with_suffix(*IMAGE_SUFFIXES)
        if file.role is None and file.suffix not in JPEG and not names_other_files(file.folders)
    ]
    has_splits = any(image.split for image in images)
    return {
        names: files
        for names, files in group_by_folder(files, has_splits=has_splits).items()
        if not must_be_named or names_masks(names)
    }


def group_by_folder(
    files: Sequence[FoundFile], *, has_splits: bool = True
) -> dict[frozenset[str], list[FoundFile]]:
    """Return files by the name of each folder that they are in, outer folders first.

    If the data have splits, names that differ only by theirs, as train_lab and test_lab, are
    together, unless they are in a folder of another split. The names of splits alone don't count.
    """
    names, found = defaultdict[str, set[str]](set), defaultdict[str, list[FoundFile]](list)
    of_other_split = {
        name
        for file in files
        for name in file.folders
        if file.split and split_in(name) not in (None, file.split)
    }
    for file in files:
        for name in dict.fromkeys(file.folders):
            if kind := without_split(name):
                kind = kind if has_splits and name not in of_other_split else name
                names[kind].add(name)
                found[kind].append(file)
    return {frozenset(names[kind]): files for kind, files in found.items()}


def _as_masks(
    files: Sequence[FoundFile], names: Collection[str], images: Sequence[FoundFile]
) -> list[FoundFile]:
    """Return files as masks; without a split if the images have none."""
    roles: dict[str, Role] = dict.fromkeys(names, "mask")
    masks = [classify(file.path, file.relative, roles) for file in files]
    if any(image.split for image in images):
        return masks
    return [replace(mask, split=None, folders=_categories(mask, names)) for mask in masks]


def _categories(file: FoundFile, names: Collection[str]) -> tuple[str, ...]:
    parts = file.relative.parts[:-1]
    return tuple(part for part in parts if part not in names and not meaning_of(part)[0])


def report_twins(folder: Folder) -> bool:
    """Report two folders with files of the same names, at most one of them with JPEG files.

    Return whether there are any.
    """
    names = defaultdict[str, set[object]](set)
    with_jpeg = set[str]()
    for file in folder.with_suffix(*IMAGE_SUFFIXES):
        for name in file.folders[:1]:
            names[name].add((file.split, file.folders[1:], file.path.stem))
            if file.suffix in JPEG:
                with_jpeg.add(name)
    if len(names) != 2 or len(with_jpeg) == 2:
        return False
    files, twins = names.values()
    if len(files & twins) <= MIN_SHARE * min(len(files), len(twins)):
        return False
    folder.findings.problem(
        "Folders whose files have the same names",
        sorted(names),
        "if one has the masks of the other, rename them images and masks",
    )
    return True
