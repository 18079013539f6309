"""Which images a mask's name may mean, with or without a word such as mask."""

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence

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
_SAME_NAME = "the same name"
_WITHOUT_WORD = "the same name, apart from the word mask"


def name_matcher(images: Sequence[FoundFile]) -> Callable[[FoundFile], list[FoundFile]]:
    """Return what finds the images of a mask's name, apart from a word such as mask."""
    index = ImageIndex(images)

    def images_of(mask: FoundFile) -> list[FoundFile]:
        fitting, rule = index.images_of(mask)
        return [] if is_guess(rule) else fitting

    return images_of


class ImageIndex:
    """Images by folder and name."""

    def __init__(self, images: Sequence[FoundFile]) -> None:
        self._images: dict[object, list[FoundFile]] = defaultdict(list)
        self._ending = _common_ending([image.path.stem for image in images])
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
            if self._ending:
                name = simplify(stem.removesuffix(self._ending))
                self._images[image.key, "start", name].append(image)
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
        for end in range(len(stem) - 1, 0, -1):
            if not stem[end].isalnum() and (found := self.named(mask, stem[:end])):
                return found, f"image + {stem[end:]!r}"
        for start in range(1, len(stem)):
            if not stem[start - 1].isalnum() and (found := self.named(mask, stem[start:])):
                return found, f"{stem[:start]!r} + image"
        found = self._images.get((mask.key, "start", simplify(stem)), [])
        return found, f"image without {self._ending!r}" if found else ""


def is_guess(rule: str) -> bool:
    return rule.startswith(("image + ", "image without ")) or rule.endswith(" + image")


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


def _common_ending(stems: Sequence[str]) -> str:
    """Return what all names have behind a separator: "_0000" for a_0000 and b_0000."""
    ending = ""
    for letters in zip(*(reversed(stem) for stem in stems), strict=False):
        if len(set(letters)) > 1:
            match = re.search(r"[\W_].*", ending)
            return match[0] if match else ""
        ending = letters[0] + ending
    return ""  # one name ends another
