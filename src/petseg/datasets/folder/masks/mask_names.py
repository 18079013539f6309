"""What the name of a mask says of its image's: words such as mask, and what all names share."""

import re
from collections.abc import Collection, Sequence
from typing import NamedTuple

from petseg.datasets.folder.listing.files import FoundFile
from petseg.datasets.folder.listing.names import is_of_nnunet

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


def bases_of_image(image: FoundFile) -> set[str]:
    """Return an image's name without words for images: 1 for image_1, cat_1 for cat_image_1."""
    stem = image.path.stem
    bases = {_without_words(stem, _IMAGE_WORDS), without_inner_word(stem, _IMAGE_WORDS)}
    if any(map(is_of_nnunet, image.relative.parts)):
        bases.add(stem.removesuffix(_NNUNET_CHANNEL))
    return bases


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
    endings = [(stem[:end], Pattern("", stem[end:])) for end in separators(stem)]
    beginnings = [(stem[begin:], Pattern(stem[:begin], "")) for begin in _beginnings(stem)]
    divided = [pair for pair in (*endings, *beginnings) if pair[1].has_letter]
    return [(stem, Pattern("", "")), *divided]


def common_patterns(stems: Sequence[str]) -> list[Pattern]:
    """Return the patterns that all names have: *_0000 for a_0000 and b_0000."""
    if len(stems) < 2:
        return []
    patterns = [Pattern("", stems[0][end:]) for end in separators(stems[0])]
    patterns += [Pattern(stems[0][:begin], "") for begin in _beginnings(stems[0])]
    return [pattern for pattern in patterns if all(map(pattern.core_of, stems))]


def separators(stem: str) -> list[int]:
    """Return where separators are in a name, last first, but not at its beginning."""
    return [end for end in range(len(stem) - 1, 0, -1) if not stem[end].isalnum()]


def _beginnings(stem: str) -> list[int]:
    """Return where the beginning of a name may end: behind a separator, or before a number."""
    return [
        place
        for place in range(1, len(stem))
        if not stem[place - 1].isalnum() or (stem[place - 1].isalpha() and stem[place].isdecimal())
    ]
