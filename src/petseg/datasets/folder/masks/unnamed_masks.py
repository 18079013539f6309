"""Find the masks if no folder or file is named so, by the names of the files and their pixels."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import permutations, product
from pathlib import Path

from petseg.datasets.folder.listing.files import Folder, FoundFile
from petseg.datasets.folder.listing.layout import classify
from petseg.datasets.folder.listing.names import (
    Role,
    meaning_of,
    names_other_files,
    without_split,
)
from petseg.datasets.folder.masks.find_masks import JPEG, MIN_SHARE
from petseg.datasets.folder.masks.image_index import ImageIndex
from petseg.datasets.folder.masks.looks import look_like_pairs
from petseg.datasets.folder.masks.mask_folders import (
    REMEDY,
    group_by_folder,
    has_other_annotations,
    join_names,
)
from petseg.datasets.folder.masks.mask_names import Pattern, divide_stem
from petseg.images.files import IMAGE_SUFFIXES

_MIN_SHARE_OF_ALL = 0.25  # of all image files, that each of the two kinds needs
_MIN_SHARE_OF_BOTH = 0.9  # of all image files, that both need together


def mark_unnamed_masks(folder: Folder) -> bool:
    """Take the files that are named like photos and look like masks for their masks, and note it.

    Return whether there are any. They may be in a folder of their own, or in that of the photos
    with other names. JPEG files and folders of other files, such as depth maps, don't count.
    """
    files = folder.with_suffix(*IMAGE_SUFFIXES)
    if any(file.role for file in files) or has_other_annotations(folder):
        return False
    files = [file for file in files if not names_other_files(file.folders)]
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
        if not masks or any(_name_two_places(*pair) for pair in product(images, masks)):
            continue
        if _are_images_and_masks(files, groups[images], groups[masks], roles):
            fitting.setdefault(frozenset(groups[masks]), (images, masks))
    if len(fitting) != 1:
        return False
    ((images, masks),) = fitting.values()
    missing, taken = "No folder is named masks", f"{join_names(masks)} for the masks"
    if images:
        missing = "No folders are named images and masks"
        taken = f"{join_names(images)} for the images and {taken}"
    folder.findings.note(
        f"{missing}; taking {taken}, by the names and pixels of the files", remedy=REMEDY
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
    both = {*images, *masks}
    others = [file for file in files if file not in both]
    is_most = len(others) <= (1 - _MIN_SHARE_OF_BOTH) * len(files)
    if not is_most or not set(images).isdisjoint(masks) or _has_jpeg(masks):
        return False
    if any(file.split for file in others):
        return False
    as_images = [classify(file.path, file.relative, roles) for file in images]
    as_masks = [classify(file.path, file.relative, roles) for file in masks]
    roles_found = {file.role for file in as_images}, {file.role for file in as_masks}
    if roles_found not in (({"image"}, {"mask"}), ({None}, {"mask"})):
        return False
    index = ImageIndex(as_images)
    matches = index.match(as_masks)
    pairs = {image: mask for mask, match in matches.items() for image in match.images}
    if len(pairs) <= MIN_SHARE * len(images) or index.match(others):
        return False
    return look_like_pairs(list(pairs.items()))


def _roles(images: Collection[str], masks: Collection[str]) -> dict[str, Role]:
    return {**dict.fromkeys(images, "image"), **dict.fromkeys(masks, "mask")}


def _name_two_places(folder: str, other_folder: str) -> bool:
    """Whether two folders' names differ in a number or letter of a word: siteA and siteB_masks."""
    words = [
        [word for word in without_split(name).split() if not meaning_of(word)[0]]
        for name in (folder, other_folder)
    ]
    if len(words[0]) != len(words[1]):
        return False
    differing = [(a, b) for a, b in zip(*words, strict=True) if a != b]
    return len(differing) == 1 and _differ_in_one_place(*differing[0])


def _differ_in_one_place(word: str, other_word: str) -> bool:
    return len(word) == len(other_word) > 1 and sum(map(str.__ne__, word, other_word)) == 1


def _mark_patterns(folder: Folder, files: Sequence[FoundFile]) -> bool:
    """Find the masks among the images, such as 1_anno.png and 1.png, or 1.png and 1.tif."""
    counts = Counter((pattern, suffix) for file in files for _, pattern, suffix in _divide(file))
    large = {kind for kind, count in counts.items() if count >= _MIN_SHARE_OF_ALL * len(files)}
    groups = defaultdict[tuple[Pattern, str], dict[tuple[Path, str], FoundFile]](dict)
    for file in files:
        for core, pattern, suffix in _divide(file):
            if (pattern, suffix) in large:
                groups[pattern, suffix][file.path.parent, core] = file
    for of_images, of_masks in permutations(groups, 2):
        pattern = of_masks[0]
        if not pattern.fits(of_images[0]) or names_other_files([str(pattern)]):
            continue
        images, masks = groups[of_images], groups[of_masks]
        pairs = [(images[core], masks[core]) for core in images if core in masks]
        found = {mask for _, mask in pairs}
        is_most = 2 * len(pairs) >= _MIN_SHARE_OF_BOTH * len(files)
        if not is_most or _has_jpeg(found) or not found.isdisjoint(image for image, _ in pairs):
            continue
        if look_like_pairs(pairs):
            folder.findings.note(
                f"No folder or file is named mask; taking {_join(of_masks)} for the masks of "
                f"{_join(of_images)}, by their names and pixels",
                remedy=REMEDY,
            )
            folder.files = [replace(f, role="mask") if f in found else f for f in folder.files]
            return True
    return False


def _join(kind: tuple[Pattern, str]) -> str:
    return f"{kind[0]}{kind[1]}"


def _divide(file: FoundFile) -> Iterator[tuple[str, Pattern, str]]:
    """Yield what may tell a file from others of its kind, and the kinds: patterns and suffixes."""
    for core, pattern in divide_stem(file.path.stem):
        yield core, pattern, ""
        yield core, pattern, file.suffix


def _has_jpeg(files: Iterable[FoundFile]) -> bool:
    return any(file.suffix in JPEG for file in files)
