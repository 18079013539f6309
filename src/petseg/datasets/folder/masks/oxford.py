"""The layout of Oxford-IIIT Pet: images/NAME.jpg, annotations/trimaps/NAME.png, and its lists.

annotations/trainval.txt and test.txt have lines NAME CLASS-ID SPECIES BREED-ID.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import PurePosixPath

from petseg.core.errors import PetsegError
from petseg.core.labels import TRIMAP_CLASSES
from petseg.datasets.folder.findings import as_example
from petseg.datasets.folder.found import Found, FoundImage
from petseg.datasets.folder.listing.files import Folder, FoundFile
from petseg.datasets.folder.listing.names import Split
from petseg.datasets.folder.masks.find_masks import find_masks
from petseg.datasets.folder.text_files import numbered_lines

_TRIMAPS = PurePosixPath("annotations/trimaps")
_LISTS: dict[str, Split] = {"trainval.txt": "train", "test.txt": "test"}
_SUPERCATEGORIES = {"1": "cat", "2": "dog"}


def is_oxford(folder: Folder) -> bool:
    return any(_TRIMAPS in file.relative.parents for file in folder.files)


def find_oxford(folder: Folder) -> Found:
    """Return the listed images, or all if there are no lists. Trimaps hold 1, 2 and 3."""
    found = find_masks(folder)
    lists = _lists(folder)
    images = found.images
    if lists:
        images = _listed(folder, {image.file.path.stem: image for image in images}, lists)
    classes = {name: (value,) for value, name in enumerate(TRIMAP_CLASSES, 1)}
    return Found(images, classes, "Oxford-IIIT Pet", found.rule)


def _lists(folder: Folder) -> dict[Split, FoundFile]:
    by_path = {str(file.relative): file for file in folder.with_suffix(".txt")}
    places = {split: f"annotations/{name}" for name, split in _LISTS.items()}
    lists = {split: by_path[place] for split, place in places.items() if place in by_path}
    folder.read.update(file.path for file in lists.values())
    return lists


def _listed(
    folder: Folder, images: dict[str, FoundImage], lists: dict[Split, FoundFile]
) -> list[FoundImage]:
    listed: dict[str, FoundImage] = {}
    invalid, unknown, repeated, unreadable = [], [], [], []
    for split, file in lists.items():
        try:
            lines = list(_lines(file))
        except PetsegError as error:
            unreadable.append(as_example(error, folder.root))
            continue
        for number, name, species in lines:
            place = f"{name!r} ({file.relative}, line {number})"
            if species not in _SUPERCATEGORIES:
                invalid.append(place)
            elif name in listed:
                repeated.append(place)
            elif name not in images:
                unknown.append(place)
            else:
                listed[name] = replace(
                    images[name],
                    split=split,
                    category=name.rsplit("_", 1)[0],
                    supercategory=_SUPERCATEGORIES[species],
                )
    findings = folder.findings
    findings.problem(
        "Lines that are not NAME CLASS-ID SPECIES BREED-ID with species 1 or 2",
        invalid,
        "fix or remove them",
    )
    findings.problem("Lists that can't be read", unreadable, "fix or remove them")
    findings.problem("Lines that name no image", unknown, "fix or remove them")
    findings.problem("Lines that list an image again", repeated, "remove them")
    if not unreadable:
        rest = [str(image.file.relative) for name, image in images.items() if name not in listed]
        findings.note("Images in no list, left out", rest)
    return list(listed.values())


def _lines(file: FoundFile) -> Iterator[tuple[int, str, str]]:
    """Yield (number, name, species); for an invalid line, the line and no species."""
    for number, line in numbered_lines(file.path):
        fields = line.split()
        if line.startswith("#"):
            continue
        yield (number, fields[0], fields[2]) if len(fields) == 4 else (number, line, "")
