"""Masks as image files: in a folder of their own or among the images, with or without a suffix."""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence

from petseg.datasets.folder.class_files import read_classes
from petseg.datasets.folder.files import Folder, FoundFile
from petseg.datasets.folder.found import Found, found_image
from petseg.datasets.folder.lookup import simplify
from petseg.datasets.folder.mask_files import MaskFile
from petseg.datasets.folder.names import is_of_nnunet
from petseg.images.files import IMAGE_SUFFIXES

_MASK_WORDS = {
    *("mask", "masks", "seg", "segm", "segmentation", "label", "labels", "lbl", "gt", "trimap"),
    *("groundtruth", "annotation", "annotated", "matte", "gtfine", "binary", "segmentationclass"),
    *("labelids", "labeltrainids", "manual1"),
}
_IMAGE_WORDS = {
    *("image", "img", "photo", "rgb", "sat", "orig", "original", "leftimg8bit"),
    *("training", "test"),
}
JPEG = {".jpg", ".jpeg", ".jpe", ".jfif"}
_GROUND_TRUTH = re.compile(r"ground[-_ ]truth([-_ ]semantic$)?", re.IGNORECASE)
_BEHIND = re.compile(r"(.+)[_\-. ]+\(?([A-Za-z0-9]+)\)?")  # cat_mask, cat (mask)
_BEFORE = re.compile(r"([A-Za-z0-9]+)[_\-. ]+(.+)|([A-Za-z]+)(\d.*)")  # mask-cat, mask007
_NNUNET_CHANNEL = "_0000"  # the end of the first of nnU-Net's files for an image
_MAX_GUESSES = 3  # rules
_SAME_NAME = "the same name"
_WITHOUT_WORD = "the same name, apart from the word mask"


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


def name_matcher(images: Sequence[FoundFile]) -> Callable[[FoundFile], list[FoundFile]]:
    """Return what finds the images of a mask's name, apart from a word such as mask."""
    index = _Index(images)

    def images_of(mask: FoundFile) -> list[FoundFile]:
        fitting, rule = index.images_of(mask)
        return [] if _is_guess(rule) else fitting

    return images_of


def _masks_among_images(files: Sequence[FoundFile]) -> list[FoundFile]:
    """Return the files that are masks of others in the same folder, by a word in their names.

    Without such a word, cat.png and cat.jpg.png are masks of cat.jpg.
    """
    index = _Index(files)
    masks = []
    for file in files:
        stem = file.path.stem
        same_name = [other for other in index.named(file, stem) if other != file]
        inner = _without_inner_word(stem, _MASK_WORDS)
        if bases := _bases_of_mask(stem):
            is_mask = any(index.named(file, base) for base in bases if base != inner)
            if not is_mask and inner in bases and file.suffix not in JPEG:
                # Of two PNG photos, the word may be part of the name.
                is_mask = any(other.suffix in JPEG for other in index.named(file, inner))
        else:
            is_mask = file.suffix not in JPEG and any(o.suffix in JPEG for o in same_name)
        if is_mask:
            masks.append(file)
    return masks


def _without_words(stem: str, words: set[str]) -> str:
    """Remove words from both ends: "cat_mask" and "mask-cat" become "cat", "mask" becomes ""."""
    while match := _BEHIND.fullmatch(stem):
        if match[2].lower() not in words:
            break
        stem = match[1].rstrip("_-. ")
    while match := _BEFORE.fullmatch(stem):
        if (match[1] or match[3]).lower() not in words:
            break
        stem = match[2] or match[4]
    return "" if stem.lower() in words else stem


def _without_inner_word(stem: str, words: set[str]) -> str:
    """Remove a word between others: "cat_mask_1" becomes "cat_1"."""
    parts = re.split(r"([_\-. ]+)", stem)  # cat, _, mask, _, 1
    for place in range(2, len(parts) - 2, 2):
        if parts[place].lower() in words:
            return "".join(parts[:place] + parts[place + 2 :])
    return stem


def _bases_of_mask(name: str) -> list[str]:
    """Return possible names of a mask's image: cat for cat_mask or catmask.

    For cat_mask_1 they are cat_1 and cat. The list is empty if the name has no word for masks.
    """
    stem = _GROUND_TRUTH.sub("groundtruth", name)
    if (base := _without_words(stem, _MASK_WORDS)) != stem:
        return [base]
    short = re.sub(r"_\d$", "", stem)
    bases = (
        _without_inner_word(stem, _MASK_WORDS),
        _without_words(short, _MASK_WORDS),
        re.sub(r"(?<=.)mask$", "", stem, flags=re.IGNORECASE),
    )
    return [base for base in dict.fromkeys(bases) if base not in (stem, short)]


def _pair(
    folder: Folder, images: Sequence[FoundFile], masks: Sequence[FoundFile]
) -> tuple[dict[FoundFile, FoundFile], list[str]]:
    """Return the mask of each image that has one, and the rules by which masks were matched."""
    index = _Index(images)
    masks_of: dict[FoundFile, list[tuple[FoundFile, str]]] = defaultdict(list)
    orphans, shared, worse, rules = [], [], [], Counter[str]()
    for mask in masks:
        fitting, rule = index.images_of(mask)
        if not fitting:
            orphans.append(str(mask.relative))
            continue
        if len(fitting) > 1:
            shared.append(f"{' and '.join(str(f.relative) for f in fitting)} ({mask.relative})")
        for image in fitting:
            masks_of[image].append((mask, rule))
    several = []
    for image, found in masks_of.items():
        named = [(mask, rule) for mask, rule in found if not _is_guess(rule)]
        if len(named) == 1:  # a_gtFine_labelIds.png beside a_gtFine_color.png
            worse += [str(mask.relative) for mask, rule in found if _is_guess(rule)]
            masks_of[image] = found = named
        elif len(found) > 1:
            names = [mask.path.name for mask, _ in found]
            if len(set(names)) < len(names):
                names = [str(mask.relative) for mask, _ in found]
            several.append(f"{image.relative} ({', '.join(names)})")
        rules.update(rule for _, rule in found)
    findings = folder.findings
    findings.problem("Images that share a mask", shared, "rename one of them, and its mask")
    findings.problem(
        "Images with several masks",
        several,
        "keep the one with all classes; if there is one per class or object, merge them into one",
    )
    findings.note("Masks left out, since another one's name fits better", worse)
    findings.note("Masks without an image, left out", orphans)
    pairs = [(image, mask) for image, found in masks_of.items() for mask, _ in found]
    guesses = list(filter(_is_guess, rules))
    places = {"/".join(mask.folders) for image, mask in pairs if mask.folders != image.folders}
    if len(places) > 1:
        what = "Folders of masks, but not of their images, not used as classes"
        findings.note(what, sorted(place or "." for place in places))
    if len(guesses) > _MAX_GUESSES:
        findings.problem(
            "Masks are named in too many ways to be matched with images", guesses, "rename them"
        )
    elif len(guesses) > 1:
        findings.note("Words in the names of masks, not used as classes", guesses)
    return {image: found[0][0] for image, found in masks_of.items()}, list(rules)


def _is_guess(rule: str) -> bool:
    return rule.startswith("image + ") or rule.endswith(" + image")


class _Index:
    """Images by folder and name."""

    def __init__(self, images: Sequence[FoundFile]) -> None:
        self._images: dict[object, list[FoundFile]] = defaultdict(list)
        for image in images:
            stem = image.path.stem
            for name in (stem, image.path.name):
                self._images[image.key, name].append(image)
                self._images[image.key, None, simplify(name)].append(image)
            bases = {_without_words(stem, _IMAGE_WORDS), _without_inner_word(stem, _IMAGE_WORDS)}
            if any(map(is_of_nnunet, image.relative.parts)):
                bases.add(stem.removesuffix(_NNUNET_CHANNEL))
            for name in {simplify(base) for base in bases}:
                self._images[image.key, "base", name].append(image)
            self._images[simplify(stem)].append(image)

    def named(self, file: FoundFile, name: str) -> list[FoundFile]:
        """Return the images of a name in a file's folder; of a similar one if there are none."""
        places = ((file.key, name), (file.key, None, simplify(name)))
        base = (file.key, "base", simplify(name))
        return next((found for place in (*places, base) if (found := self._images.get(place))), [])

    def _elsewhere(self, mask: FoundFile, name: str) -> list[FoundFile]:
        """Return the only image of a name, if it or its mask is in no folder of a category."""
        found = [
            image
            for image in self._images.get(simplify(name), [])
            if mask.split in (None, image.split) and not (mask.folders and image.folders)
        ]
        return found if len(found) == 1 else []

    def images_of(self, mask: FoundFile) -> tuple[list[FoundFile], str]:
        """Return the images that a mask may belong to, and the rule that says so."""
        stem = mask.path.stem
        names = [(stem, _SAME_NAME), *((base, _WITHOUT_WORD) for base in _bases_of_mask(stem))]
        for name, rule in names:
            if found := self.named(mask, name):
                return found, rule
        for name, rule in names:
            if found := self._elsewhere(mask, name):
                return found, f"{rule}, in another folder"
        for end in range(len(stem) - 1, 0, -1):
            if not stem[end].isalnum() and (found := self.named(mask, stem[:end])):
                return found, f"image + {stem[end:]!r}"
        for start in range(1, len(stem)):
            if not stem[start - 1].isalnum() and (found := self.named(mask, stem[start:])):
                return found, f"{stem[:start]!r} + image"
        return [], ""
