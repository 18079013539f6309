"""Find the masks if no folder or file is named so, by the names and colors of the files."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import replace
from itertools import permutations

from petseg.core.errors import PetsegError
from petseg.datasets.folder.files import Folder, FoundFile
from petseg.datasets.folder.layout import classify
from petseg.datasets.folder.mask_files import MaskFile
from petseg.datasets.folder.mask_folders import (
    MIN_SHARE,
    group_by_folder,
    has_other_annotations,
    join_names,
)
from petseg.datasets.folder.mask_names import ImageIndex
from petseg.datasets.folder.masks import JPEG
from petseg.datasets.folder.names import Role, meaning_of, names_other_pictures
from petseg.images.files import IMAGE_SUFFIXES

_MAX_COLORS = 64  # of a mask; photos have more
_SAMPLES = 5  # files of each kind whose colors are counted
_MIN_SHARE_OF_ALL = 0.25  # of all image files, that each of the two kinds needs
_MIN_SHARE_OF_BOTH = 0.9  # of all image files, that both need together


def mark_unnamed_masks(folder: Folder) -> bool:
    """Take the files that are named like others and have few colors for masks, and note it.

    The others must have many colors. Return whether there are any. Masks may be in a folder of
    their own, or among the images with one ending behind the images' names.
    """
    files = folder.with_suffix(*IMAGE_SUFFIXES)
    if any(file.role for file in files) or has_other_annotations(folder):
        return False
    return _mark_folders(folder, files) or _mark_endings(folder, files)


def _mark_folders(folder: Folder, files: Sequence[FoundFile]) -> bool:
    """Find the folder of the images and that of the masks."""
    min_files = _MIN_SHARE_OF_ALL * len(files)
    groups = {
        names: found
        for names, found in group_by_folder(files).items()
        if len(found) >= min_files and not any(meaning_of(name)[0] for name in names)
    }
    fitting: dict[frozenset[FoundFile], tuple[frozenset[str], frozenset[str]]] = {}
    for images, masks in permutations(groups, 2):
        are_all = len(groups[images]) + len(groups[masks]) >= _MIN_SHARE_OF_BOTH * len(files)
        if are_all and _are_images_and_masks(images, groups[images], masks, groups[masks]):
            fitting.setdefault(frozenset(groups[masks]), (images, masks))
    if len(fitting) != 1:
        return False
    ((images, masks),) = fitting.values()
    folder.findings.note(
        f"No folders are named images and masks; taking {join_names(images)} for the images and "
        f"{join_names(masks)} for the masks, by the names and colors of their files"
    )
    folder.files = [classify(f.path, f.relative, _roles(images, masks)) for f in folder.files]
    return True


def _are_images_and_masks(
    image_folders: Collection[str],
    images: Sequence[FoundFile],
    mask_folders: Collection[str],
    masks: Sequence[FoundFile],
) -> bool:
    if not set(images).isdisjoint(masks) or names_other_pictures(mask_folders):
        return False
    roles = _roles(image_folders, mask_folders)
    index = ImageIndex([classify(file.path, file.relative, roles) for file in images])
    as_masks = [classify(file.path, file.relative, roles) for file in masks]
    matched = {image for mask in as_masks for image in index.images_of(mask)[0]}
    return len(matched) > MIN_SHARE * len(images) and _are_masks_of(masks, images)


def _roles(images: Collection[str], masks: Collection[str]) -> dict[str, Role]:
    return {**dict.fromkeys(images, "image"), **dict.fromkeys(masks, "mask")}


def _mark_endings(folder: Folder, files: Sequence[FoundFile]) -> bool:
    """Find the masks among the images, such as 1_anno.png and 1.png."""
    names = {(file.path.parent, file.path.stem) for file in files}
    with_ending = defaultdict[str, list[FoundFile]](list)
    for file in files:
        stem = file.path.stem
        for end in range(len(stem) - 1, 0, -1):
            if not stem[end].isalnum() and (file.path.parent, stem[:end]) in names:
                with_ending[stem[end:]].append(file)
    for ending, found in with_ending.items():
        masks = set(found)
        are_all = 2 * len(masks) >= _MIN_SHARE_OF_BOTH * len(files)
        has_letter = any(map(str.isalpha, ending))
        if not (are_all and has_letter) or names_other_pictures([ending]):
            continue
        if _are_masks_of(found, [file for file in files if file not in masks]):
            folder.findings.note(
                f"No folder or file is named mask; taking those whose names end in {ending!r} for "
                "masks, by their names and colors"
            )
            folder.files = [replace(f, role="mask") if f in masks else f for f in folder.files]
            return True
    return False


def _are_masks_of(masks: Sequence[FoundFile], images: Sequence[FoundFile]) -> bool:
    """Whether all masks in a sample have few colors, and more than half of the images many."""
    if not images or any(file.suffix in JPEG for file in masks):
        return False
    photos = [not _has_few_colors(file) for file in _sample(images)]
    return sum(photos) > len(photos) / 2 and all(map(_has_few_colors, _sample(masks)))


def _sample(files: Sequence[FoundFile]) -> Sequence[FoundFile]:
    return files[:: -(-len(files) // _SAMPLES)]


def _has_few_colors(file: FoundFile) -> bool:
    """Whether a file can be a mask; it can't if it can't be read."""
    try:
        return len(MaskFile(file.path).read((0, 0)).keys) <= _MAX_COLORS
    except PetsegError:
        return False
