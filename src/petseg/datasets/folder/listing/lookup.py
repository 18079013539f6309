"""Find the image that a list or an annotation file means by a name."""

from collections import defaultdict
from collections.abc import Iterable
from pathlib import PurePosixPath

from petseg.datasets.folder.listing.files import FoundFile
from petseg.datasets.folder.listing.names import Split, simplify


class Lookup:
    """Find an image by the name that a list or an annotation file gives it."""

    def __init__(self, images: Iterable[FoundFile]) -> None:
        self._images: dict[str, list[FoundFile]] = defaultdict(list)
        self._in_folders: dict[object, list[FoundFile]] = defaultdict(list)
        self._below: dict[object, list[FoundFile]] = defaultdict(list)  # by the last folder or none
        for image in images:
            last_folders = {simplify("".join(folders[-1:])) for folders in _folders_of(image)}
            for name in {simplify(image.path.name), simplify(image.path.stem)}:
                self._images[name].append(image)
                self._in_folders[image.place, name].append(image)
                for folder in last_folders:
                    self._below[folder, name].append(image)

    def find(self, text: str, split: Split | None = None) -> FoundFile | None:
        """Return the image, if it is the only one that fits, or fits best.

        A name may lack the suffix or have another one, have folders in front or lack them, have
        backslashes, and be in another case.
        """
        *folders, name = [""] + [
            part for part in text.replace("\\", "/").split("/") if part not in ("", ".", "..")
        ]
        given = tuple(folders[1:])
        for key in dict.fromkeys((simplify(name), simplify(PurePosixPath(name).stem))):
            candidates = self._images.get(key, [])
            if given and len(candidates) > 1:  # the last folders must be equal, if both have one
                last = simplify(given[-1])
                found = [*self._below.get((last, key), []), *self._below.get(("", key), [])]
                candidates = list(dict.fromkeys(found))
            fitting = [
                image
                for image in candidates
                if any(_fits(given, its_folders) for its_folders in _folders_of(image))
            ]
            if fitting:
                exact = [image for image in fitting if given in _folders_of(image)]
                same_case = [i for i in fitting if name in (i.path.name, i.path.stem)]
                same_split = [image for image in fitting if image.split == split]
                choices = (fitting, same_case, exact, same_split)
                return next((images[0] for images in choices if len(images) == 1), None)
        return None

    def find_near(self, source: FoundFile, text: str, split: Split | None) -> FoundFile | None:
        """Return the image that a file names, preferably one in the file's own folders."""
        near = self._in_folders.get((source.place, simplify(text)), [])
        if len(near) == 1:
            return near[0]
        for start in range(len(source.folders) + 1):
            if image := self.find("/".join((*source.folders[start:], text)), split):
                return image
        return None


def _folders_of(image: FoundFile) -> list[tuple[str, ...]]:
    return [image.relative.parts[:-1], PurePosixPath(image.name).parts[:-1], image.folders]


def _fits(given: tuple[str, ...], folders: tuple[str, ...]) -> bool:
    """Whether one of two paths is the end of the other."""
    length = min(len(given), len(folders))
    pairs = zip(given[len(given) - length :], folders[len(folders) - length :], strict=True)
    return all(simplify(name) == simplify(folder) for name, folder in pairs)
