"""Find the masks if no folder or file is named so, by the names of the files and their pixels."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from itertools import permutations
from pathlib import Path

from petseg.datasets.folder.files import Folder, FoundFile
from petseg.datasets.folder.layout import classify
from petseg.datasets.folder.looks import look_like_pairs
from petseg.datasets.folder.mask_folders import (
    group_by_folder,
    has_other_annotations,
    join_names,
)
from petseg.datasets.folder.mask_names import ImageIndex, divide_stem
from petseg.datasets.folder.masks import JPEG, MIN_SHARE
from petseg.datasets.folder.names import Role, meaning_of, names_other_pictures
from petseg.images.files import IMAGE_SUFFIXES

_MIN_SHARE_OF_ALL = 0.25  # of all image files, that each of the two kinds needs
_MIN_SHARE_OF_BOTH = 0.9  # of all image files, that both need together


def mark_unnamed_masks(folder: Folder) -> bool:
    """Take the files that are named like photos and look like masks for their masks, and note it.

    Return whether there are any. They may be in a folder of their own, or in that of the photos
    with other names. JPEG files and folders of other pictures, such as depth,
    don't count.
    """
    files = folder.with_suffix(*IMAGE_SUFFIXES)
    if any(file.role for file in files) or has_other_annotations(folder):
        return False
    files = [file for file in files if not names_other_pictures(file.folders)]
    return _mark_folders(folder, files) or _mark_patterns(folder, files)


def _mark_folders(folder: Folder, files: Sequence[FoundFile]) -> bool:
    """Find the folder of the masks, and that of the images unless these are in none."""
    groups = {frozenset[str](): [file for file in files if not file.folders]}
    groups |= group_by_folder(files)
    min_files = _MIN_SHARE_OF_ALL * len(files)
    names = [
        names
        for names, group in groups.items()
        # Below folders of categories, imagesTr has a meaning, but no role.
        if len(group) >= min_files and not any(meaning_of(name)[0] for name in names)
    ]
    fitting: dict[frozenset[FoundFile], tuple[frozenset[str], frozenset[str]]] = {}
    for images, masks in permutations(names, 2):
        roles = _roles(images, masks)
        if masks and _are_images_and_masks(files, groups[images], groups[masks], roles):
            fitting.setdefault(frozenset(groups[masks]), (images, masks))
    if len(fitting) != 1:
        return False
    ((images, masks),) = fitting.values()
    taken = f"{join_names(masks)} for the masks, by the names and pixels of the files"
    folder.findings.note(
        f"No folders are named images and masks; taking {join_names(images)} for the images and "
        f"{taken}"
        if images
        else f"No folder is named masks; taking {taken}"
    )
    folder.files = [classify(f.path, f.relative, _roles(images, masks)) for f in folder.files]
    return True


def _are_images_and_masks(
    files: Sequence[FoundFile],
    images: Sequence[FoundFile],
    masks: Sequence[FoundFile],
    roles: dict[str, Role],
) -> bool:
    """Whether two groups of files are most files, and pairs; no other may be named like a mask."""
    others = set(files).difference(images, masks)
    is_most = len(others) <= (1 - _MIN_SHARE_OF_BOTH) * len(files)
    if not is_most or not set(images).isdisjoint(masks) or _has_jpeg(masks):
        return False
    as_images = [classify(file.path, file.relative, roles) for file in images]
    as_masks = [classify(file.path, file.relative, roles) for file in masks]
    roles_found = {file.role for file in as_images}, {file.role for file in as_masks}
    if roles_found not in (({"image"}, {"mask"}), ({None}, {"mask"})):
        return False
    index = ImageIndex(as_images)
    pairs = {image: mask for mask in as_masks for image in index.images_of(mask)[0]}
    if len(pairs) <= MIN_SHARE * len(images) or any(index.images_of(file)[0] for file in others):
        return False
    return look_like_pairs(list(pairs.items()))


def _roles(images: Collection[str], masks: Collection[str]) -> dict[str, Role]:
    return {**dict.fromkeys(images, "image"), **dict.fromkeys(masks, "mask")}


def _mark_patterns(folder: Folder, files: Sequence[FoundFile]) -> bool:
    """Find the masks among the images, such as 1_anno.png and 1.png, or 1.png and 1.tif."""
    groups = defaultdict[str, dict[tuple[Path, str], FoundFile]](dict)
    for file in files:
        for core, pattern in divide_stem(file.path.stem):
            for suffix in ("", file.suffix):
                groups[f"{pattern}{suffix}"][file.path.parent, core] = file
    min_files = _MIN_SHARE_OF_ALL * len(files)
    large = [pattern for pattern, group in groups.items() if len(group) >= min_files]
    for of_images, of_masks in permutations(large, 2):
        images, masks = groups[of_images], groups[of_masks]
        pairs = [(images[core], masks[core]) for core in images if core in masks]
        are_most = 2 * len(pairs) >= _MIN_SHARE_OF_BOTH * len(files)
        found = {mask for _, mask in pairs}
        if not are_most or names_other_pictures([of_masks]) or _has_jpeg(found):
            continue
        if found.isdisjoint(image for image, _ in pairs) and look_like_pairs(pairs):
            folder.findings.note(
                f"No folder or file is named mask; taking {of_masks} for the masks of {of_images}, "
                "by their names and pixels"
            )
            folder.files = [replace(f, role="mask") if f in found else f for f in folder.files]
            return True
    return False


def _has_jpeg(files: Iterable[FoundFile]) -> bool:
    return any(file.suffix in JPEG for file in files)
