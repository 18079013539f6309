"""Match masks with images by their names."""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from petseg.datasets.folder.listing.files import FoundFile
from petseg.datasets.folder.listing.names import simplify
from petseg.datasets.folder.masks.mask_names import (
    Pattern,
    bases_of_image,
    bases_of_mask,
    common_patterns,
    divide_stem,
    separators,
)


class Rule(NamedTuple):
    """How the name of a mask was matched with those of images."""

    text: str
    is_guess: bool = False  # by a part of the name that isn't a known word

    def __str__(self) -> str:
        return self.text


class Match(NamedTuple):
    """The images that a mask may belong to, and the rule that says so."""

    images: list[FoundFile]
    rule: Rule


class ImageIndex:
    """Images by folder and name."""

    def __init__(self, images: Sequence[FoundFile]) -> None:
        self._by_name = defaultdict[object, list[FoundFile]](list)
        self._by_similar_name = defaultdict[object, list[FoundFile]](list)
        self._by_base = defaultdict[object, list[FoundFile]](list)
        self._by_core = defaultdict[object, list[tuple[FoundFile, Pattern]]](list)
        self._in_any_folder = defaultdict[str, list[FoundFile]](list)
        patterns = common_patterns([image.path.stem for image in images])
        for image in images:
            stem = image.path.stem
            for name in (stem, image.path.name):
                self._by_name[image.place, name].append(image)
                self._by_similar_name[image.place, simplify(name)].append(image)
            for name in {simplify(base) for base in bases_of_image(image)}:
                self._by_base[image.place, name].append(image)
            for pattern in patterns:
                core = simplify(pattern.core_of(stem))
                self._by_core[image.place, core].append((image, pattern))
            self._in_any_folder[simplify(stem)].append(image)

    def named(self, file: FoundFile, name: str) -> list[FoundFile]:
        """Return the images of a name in a file's folder; of a similar one if there are none."""
        similar = simplify(name)
        return (
            self._by_name.get((file.place, name))
            or self._by_similar_name.get((file.place, similar))
            or self._by_base.get((file.place, similar))
            or []
        )

    def match(self, masks: Sequence[FoundFile]) -> dict[FoundFile, Match]:
        """Return the match of each mask that has any.

        What all images' names have in common counts only if no mask fits otherwise.
        """
        for find in (self._find, self._find_by_patterns):
            matches = {mask: match for mask in masks if (match := find(mask))}
            if matches:
                return matches
        return {}

    def _find(self, mask: FoundFile) -> Match | None:
        stem = mask.path.stem
        names = [(stem, "the same name")]
        names += [(base, "the same name, apart from the word mask") for base in bases_of_mask(stem)]
        for name, text in names:
            if found := self.named(mask, name):
                return Match(found, Rule(text))
        for name, text in names:
            if found := self._elsewhere(mask, name):
                return Match(found, Rule(f"{text}, in another folder"))
        for end in separators(stem):
            if found := self.named(mask, stem[:end]):
                return Match(found, Rule(f"image + {stem[end:]!r}", is_guess=True))
        for start in range(1, len(stem)):
            if not stem[start - 1].isalnum() and (found := self.named(mask, stem[start:])):
                return Match(found, Rule(f"{stem[:start]!r} + image", is_guess=True))
        return None

    def _elsewhere(self, mask: FoundFile, name: str) -> list[FoundFile]:
        """Return the only image of a name, if it or its mask is in no folder of a category."""
        found = [
            image
            for image in self._in_any_folder.get(simplify(name), [])
            if mask.split in (None, image.split) and not (mask.folders and image.folders)
        ]
        return found if len(found) == 1 else []

    def _find_by_patterns(self, mask: FoundFile) -> Match | None:
        """Find images whose names are the mask's, apart from what all images have."""
        for core, pattern in divide_stem(mask.path.stem):
            found = self._by_core.get((mask.place, simplify(core)))
            if found and pattern.fits(found[0][1]):
                rule = Rule(f"names like {found[0][1]} and {pattern}", is_guess=True)
                return Match([image for image, _ in found], rule)
        return None
