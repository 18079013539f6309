"""Masks as image files: in a folder of their own or among the images, with or without a suffix."""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence

from petseg.datasets.folder.class_files import read_classes
from petseg.datasets.folder.files import Folder, FoundFile
from petseg.datasets.folder.found import Found, found_image
from petseg.datasets.folder.lookup import simplify
from petseg.datasets.folder.mask_files import MaskFile
from petseg.images.files import IMAGE_SUFFIXES

_MASK_WORDS = {
    *("mask", "masks", "seg", "segm", "segmentation", "label", "labels", "lbl", "gt", "trimap"),
    *("groundtruth", "annotation", "annotated", "matte", "gtfine"),
    *("labelids", "labeltrainids", "manual1"),
}
_IMAGE_WORDS = {
    *("image", "img", "photo", "rgb", "sat", "orig", "original", "leftimg8bit"),
    *("training", "test"),
}
_JPEG = {".jpg", ".jpeg", ".jpe", ".jfif"}
_SAME_NAME = "the same name"


def find_masks(folder: Folder) -> Found:
    """Pair the images of a folder with their masks. What can't be paired is a finding."""
    masks = [file for file in folder.with_suffix(*IMAGE_SUFFIXES) if file.role == "mask"]
    images = folder.images()
    if not masks:
        masks = _masks_among_images(images)
        images = [file for file in images if file not in set(masks)]
    pairs, rules = _pair(folder, images, masks)
    classes, source = read_classes(folder)
    found = [
        found_image(image, MaskFile(pairs[image].path) if image in pairs else None)
        for image in images
    ]
    return Found(found, classes, source, ", ".join(rules))


def has_masks(folder: Folder) -> bool:
    """Whether some image file is a mask by its folder or by its name."""
    files = folder.with_suffix(*IMAGE_SUFFIXES)
    return any(file.role == "mask" for file in files) or bool(_masks_among_images(files))


def _masks_among_images(files: Sequence[FoundFile]) -> list[FoundFile]:
    """Return the files that are masks of others in the same folder, by a word in their names.

    Without such a word, cat.png and cat.jpg.png are masks of cat.jpg.
    """
    index = _Index(files)
    masks = []
    for file in files:
        stem = file.path.stem
        base = _without_words(stem, _MASK_WORDS)
        same_name = [other for other in index.named(file, stem) if other != file]
        if base != stem:
            is_mask = bool(index.named(file, base))
        else:
            is_mask = file.suffix not in _JPEG and any(o.suffix in _JPEG for o in same_name)
        if is_mask:
            masks.append(file)
    return masks


def _without_words(stem: str, words: set[str]) -> str:
    """Remove words from both ends: "cat_mask" and "mask-cat" become "cat"."""
    while match := re.fullmatch(r"(.+)[_\-. ]+([A-Za-z0-9]+)", stem):
        if match[2].lower() not in words:
            break
        stem = match[1].rstrip("_-. ")
    while match := re.fullmatch(r"([A-Za-z0-9]+)[_\-. ]+(.+)", stem):
        if match[1].lower() not in words:
            break
        stem = match[2]
    return stem


def _pair(
    folder: Folder, images: Sequence[FoundFile], masks: Sequence[FoundFile]
) -> tuple[dict[FoundFile, FoundFile], list[str]]:
    """Return the mask of each image that has one, and the rules by which masks were matched."""
    index = _Index(images)
    masks_of: dict[FoundFile, list[FoundFile]] = defaultdict(list)
    orphans, shared, rules = [], [], Counter[str]()
    for mask in masks:
        fitting, rule = index.images_of(mask)
        if not fitting:
            orphans.append(str(mask.relative))
            continue
        if len(fitting) > 1:
            shared.append(f"{' and '.join(str(f.relative) for f in fitting)} ({mask.relative})")
        for image in fitting:
            masks_of[image].append(mask)
        rules[rule] += 1
    several = [
        f"{image.relative} ({', '.join(mask.path.name for mask in found)})"
        for image, found in masks_of.items()
        if len(found) > 1
    ]
    findings = folder.findings
    findings.problem("Images that share a mask", shared, "rename one of them, and its mask")
    findings.problem(
        "Images with several masks", several, "keep one of them, the one with the classes"
    )
    findings.note("Masks without an image, left out", orphans)
    guesses = [rule for rule in rules if rule.startswith("image + ") or rule.endswith(" + image")]
    if len(guesses) > 3:
        findings.problem(
            "Masks are named in too many ways to be matched with images", guesses, "rename them"
        )
    return {image: found[0] for image, found in masks_of.items()}, list(rules)


class _Index:
    """Images by folder and name."""

    def __init__(self, images: Sequence[FoundFile]) -> None:
        self._images: dict[object, list[FoundFile]] = defaultdict(list)
        for image in images:
            stem = image.path.stem
            for name in {stem, image.path.name, _without_words(stem, _IMAGE_WORDS)}:
                self._images[image.key, name].append(image)
                self._images[image.key, None, simplify(name)].append(image)

    def named(self, file: FoundFile, name: str) -> list[FoundFile]:
        """Return the images of a name in a file's folder; of a similar one if there are none."""
        found = self._images.get((file.key, name))
        return found or self._images.get((file.key, None, simplify(name)), [])

    def images_of(self, mask: FoundFile) -> tuple[list[FoundFile], str]:
        """Return the images that a mask may belong to, and the rule that says so."""
        stem = mask.path.stem
        base = _without_words(stem, _MASK_WORDS)
        for name, rule in ((stem, _SAME_NAME), (base, "the same name, apart from the word mask")):
            if found := self.named(mask, name):
                return found, rule
        for end in range(len(stem) - 1, 0, -1):
            if not stem[end].isalnum() and (found := self.named(mask, stem[:end])):
                return found, f"image + {stem[end:]!r}"
        for start in range(1, len(stem)):
            if not stem[start - 1].isalnum() and (found := self.named(mask, stem[start:])):
                return found, f"{stem[:start]!r} + image"
        return [], ""
