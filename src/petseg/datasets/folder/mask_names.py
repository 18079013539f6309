"""Which images a mask's name may mean, with or without a word such as mask."""

import re
from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import NamedTuple

from petseg.datasets.folder.files import FoundFile
from petseg.datasets.folder.lookup import simplify
from petseg.datasets.folder.names import is_of_nnunet

_MASK_WORDS = {
    *("mask", "masks", "seg", "segm", "segmentation", "label", "labels", "lbl", "gt", "trimap"),
    *("groundtruth", "annotation", "annotated", "matte", "gtfine", "binary", "segmentationclass"),
    *("labelids", "labeltrainids", "manual1"),
}
_IMAGE_WORDS = {
    *("image", "img", "photo", "rgb", "sat", "orig", "original", "leftimg8bit"),
    *("training", "test"),
}
_GROUND_TRUTH = re.compile(r"ground[-_ ]truth([-_ ]semantic$)?", re.IGNORECASE)
_BEHIND = re.compile(r"(.+)[_\-. ]+\(?([A-Za-z0-9]+)\)?")  # cat_mask, cat (mask)
_BEFORE = re.compile(r"([A-Za-z0-9]+)[_\-. ]+(.+)|([A-Za-z]+)(\d.*)")  # mask-cat, mask007
_NNUNET_CHANNEL = "_0000"  # the end of the first of nnU-Net's files for an image
_WORDS_IN_PATTERNS = _MASK_WORDS | {"sem", "semantic", "ann", "anno", "class", "classes"}
_SAME_NAME = "the same name"
_WITHOUT_WORD = "the same name, apart from the word mask"


class Pattern(NamedTuple):
    """What the names of files of a kind have in common."""

    beginning: str
    ending: str

    def __str__(self) -> str:
        return f"{self.beginning}*{self.ending}"

    @property
    def words(self) -> set[str]:
        return set(re.findall(r"[^\W_]+", str(self).lower()))

    @property
    def has_letter(self) -> bool:
        return any(map(str.isalpha, self.beginning + self.ending))

    def fits(self, of_images: "Pattern") -> bool:
        """Whether masks may be named so if images are named like `of_images`.

        If both have letters, those of the masks are a word for masks, and what the images have.
        """
        if not (self.has_letter and of_images.has_letter):
            return True
        words, of_both = self.words, self.words & of_images.words
        return bool(words & _WORDS_IN_PATTERNS) and words - of_both <= _WORDS_IN_PATTERNS

    def core_of(self, stem: str) -> str:
        """Return what the star stands for; nothing if a name doesn't fit."""
        fits = stem.startswith(self.beginning) and stem.endswith(self.ending)
        return stem[len(self.beginning) : len(stem) - len(self.ending)] if fits else ""


class ImageIndex:
    """Images by folder and name."""

    def __init__(self, images: Sequence[FoundFile]) -> None:
        self._images: dict[object, list[FoundFile]] = defaultdict(list)
        self._cores: dict[object, list[tuple[FoundFile, Pattern]]] = defaultdict(list)
        patterns = _common_patterns([image.path.stem for image in images])
        for image in images:
            stem = image.path.stem
            for name in (stem, image.path.name):
                self._images[image.key, name].append(image)
                self._images[image.key, None, simplify(name)].append(image)
            bases = {_without_words(stem, _IMAGE_WORDS), without_inner_word(stem, _IMAGE_WORDS)}
            if any(map(is_of_nnunet, image.relative.parts)):
                bases.add(stem.removesuffix(_NNUNET_CHANNEL))
            for name in {simplify(base) for base in bases}:
                self._images[image.key, "base", name].append(image)
            for pattern in patterns:
                core = simplify(pattern.core_of(stem))
                self._cores[image.key, core].append((image, pattern))
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
        names = [(stem, _SAME_NAME), *((base, _WITHOUT_WORD) for base in bases_of_mask(stem))]
        for name, rule in names:
            if found := self.named(mask, name):
                return found, rule
        for name, rule in names:
            if found := self._elsewhere(mask, name):
                return found, f"{rule}, in another folder"
        for end in _separators(stem):
            if found := self.named(mask, stem[:end]):
                return found, f"image + {stem[end:]!r}"
        for start in range(1, len(stem)):
            if not stem[start - 1].isalnum() and (found := self.named(mask, stem[start:])):
                return found, f"{stem[:start]!r} + image"
        return [], ""

    def match(self, masks: Sequence[FoundFile]) -> dict[FoundFile, tuple[list[FoundFile], str]]:
        """Return the images of each mask that has any, and the rule that says so.

        What all images' names have in common counts only if no mask fits otherwise.
        """
        for rule in (self.images_of, self._by_patterns):
            found = {mask: rule(mask) for mask in masks}
            if any(images for images, _ in found.values()):
                return {mask: match for mask, match in found.items() if match[0]}
        return {}

    def _by_patterns(self, mask: FoundFile) -> tuple[list[FoundFile], str]:
        """Return the images whose names are the mask's, apart from what all images have."""
        for core, pattern in divide_stem(mask.path.stem):
            found = self._cores.get((mask.key, simplify(core)), [])
            if found and pattern.fits(found[0][1]):
                rule = f"names like {found[0][1]} and {pattern}"
                return [image for image, _ in found], rule
        return [], ""


def is_guess(rule: str) -> bool:
    return rule.startswith(("image + ", "names like ")) or rule.endswith(" + image")


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


def without_inner_word(stem: str, words: Collection[str] = _MASK_WORDS) -> str:
    """Remove a word between others: "cat_mask_1" becomes "cat_1"."""
    parts = re.split(r"([_\-. ]+)", stem)  # cat, _, mask, _, 1
    for place in range(2, len(parts) - 2, 2):
        if parts[place].lower() in words:
            return "".join(parts[:place] + parts[place + 2 :])
    return stem


def bases_of_mask(name: str) -> list[str]:
    """Return possible names of a mask's image: cat for cat_mask or catmask.

    For cat_mask_1 they are cat_1 and cat. The list is empty if the name has no word for masks.
    """
    stem = _GROUND_TRUTH.sub("groundtruth", name)
    if (base := _without_words(stem, _MASK_WORDS)) != stem:
        return [base]
    short = re.sub(r"_\d$", "", stem)
    bases = (
        without_inner_word(stem),
        _without_words(short, _MASK_WORDS),
        re.sub(r"(?<=.)mask$", "", stem, flags=re.IGNORECASE),
    )
    return [base for base in dict.fromkeys(bases) if base not in (stem, short)]


def divide_stem(stem: str) -> list[tuple[str, Pattern]]:
    """Return what may tell files of a kind apart, and the pattern that their names may have.

    For rgb_1_left: rgb_1_left and *, rgb_1 and *_left, rgb and *_1_left, 1_left and rgb_*.
    """
    endings = [(stem[:end], Pattern("", stem[end:])) for end in _separators(stem)]
    beginnings = [(stem[begin:], Pattern(stem[:begin], "")) for begin in _beginnings(stem)]
    divided = [pair for pair in (*endings, *beginnings) if pair[1].has_letter]
    return [(stem, Pattern("", "")), *divided]


def _common_patterns(stems: Sequence[str]) -> list[Pattern]:
    """Return the patterns that all names have: *_0000 for a_0000 and b_0000."""
    if len(stems) < 2:
        return []
    patterns = [Pattern("", stems[0][end:]) for end in _separators(stems[0])]
    patterns += [Pattern(stems[0][:begin], "") for begin in _beginnings(stems[0])]
    return [pattern for pattern in patterns if all(map(pattern.core_of, stems))]


def _separators(stem: str) -> list[int]:
    """Return where separators are in a name, last first, but not at its beginning."""
    return [end for end in range(len(stem) - 1, 0, -1) if not stem[end].isalnum()]


def _beginnings(stem: str) -> list[int]:
    """Return where the beginning of a name may end: behind a separator, or before a number."""
    return [
        place
        for place in range(1, len(stem))
        if not stem[place - 1].isalnum() or (stem[place - 1].isalpha() and stem[place].isdecimal())
    ]
