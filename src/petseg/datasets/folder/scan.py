"""Decode every image and annotation of a folder, fix its table of classes, say what is wrong.

`FolderScan.read_labels` then returns the mask of one image.
"""

import os
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from petseg.config.data_params import FolderParams
from petseg.core.errors import PetsegError
from petseg.core.labels import IGNORE_LABEL
from petseg.datasets.folder.classes import ClassTable
from petseg.datasets.folder.findings import as_example
from petseg.datasets.folder.index import FolderIndex, FolderItem
from petseg.datasets.folder.label_checks import FileLabels
from petseg.datasets.folder.labels import Key, Size
from petseg.datasets.folder.resolve import resolve_classes
from petseg.images.reading import ImageFacts, read_facts, turn_upright

_TRANSPOSED = (5, 6, 7, 8)  # the EXIF orientations that exchange width and height


@dataclass(frozen=True)
class ItemScan:
    """What an image and its annotation contain; an error if one of them can't be read."""

    facts: ImageFacts | None = None
    image_error: str = ""
    labels_error: str = ""
    labels_size: Size = (0, 0)
    pixels: dict[Key, int] = field(default_factory=dict)  # by label
    colors: dict[Key, Key] = field(default_factory=dict)  # a palette's, by index
    edge: Key | None = None  # the only label at all four edges, by its index in a palette
    lossy: bool = False
    notes: tuple[str, ...] = ()  # what reading the annotation left out or guessed

    @property
    def fits(self) -> bool:
        """Whether the labels have the size of the image as a viewer shows it."""
        return self.facts is not None and self.labels_size == self.facts.size

    @property
    def fits_turned(self) -> bool:
        """Whether the labels were drawn on the image before its EXIF rotation."""
        if self.facts is None or self.fits or self.facts.orientation not in _TRANSPOSED:
            return False
        return self.labels_size == self.facts.size[::-1]


@dataclass(frozen=True)
class FolderScan:
    """The contents of a folder."""

    index: FolderIndex  # whose findings are complete now
    items: dict[str, ItemScan]  # by name
    table: ClassTable | None  # None if there are no classes, which is a problem

    def labels_of(self, name: str) -> dict[Key, int]:
        """Return an image's pixels by label: a palette's colors if the classes are colors."""
        by_color = self.table is not None and self.table.by_color
        return _file_labels(name, self.items[name]).counted(by_color)

    def pixels_of(self, name: str) -> NDArray[np.int64]:
        """Return an image's pixels by class, (256,); those of unknown labels aren't counted."""
        counts = np.zeros(256, np.int64)
        if self.table is not None:
            for key, count in self.labels_of(name).items():
                if (class_index := self.table.class_of(key)) is not None:
                    counts[class_index] += count
        return counts

    def read_labels(self, item: FolderItem) -> NDArray[np.uint8]:
        """Return the mask of an image as a viewer shows it, (H, W) uint8 of class indices.

        Raises PetsegError if the annotation can't be read, has another size, or has a label that
        is in no class; all three are among the findings.
        """
        scan = self.items[item.name]
        if self.table is None or scan.facts is None or not (scan.fits or scan.fits_turned):
            raise PetsegError(f"{item.annotation.path} doesn't fit its image, or has no classes.")
        labels = item.annotation.read(scan.facts.size)
        try:
            mask = self.table.apply(labels)
        except ValueError as error:
            raise PetsegError(f"{item.annotation.path} can't be used ({error}).") from error
        return turn_upright(mask, scan.facts.orientation) if scan.fits_turned else mask


def scan_folder(index: FolderIndex, params: FolderParams) -> FolderScan:
    """Decode all images and annotations, and complete the index's findings."""
    return judge_folder(index, params, decode_items(index))


def decode_items(index: FolderIndex) -> dict[str, ItemScan]:
    """Decode all images and annotations on all cores. Return what each contains, by name."""
    items = index.items
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        decoded = pool.map(lambda item: _scan_item(item, index), items)
        progress = tqdm(decoded, "read folder", len(items), unit="image", disable=None)
        return {item.name: scan for item, scan in zip(items, progress, strict=True)}


def judge_folder(
    index: FolderIndex, params: FolderParams, scans: dict[str, ItemScan]
) -> FolderScan:
    """Fix the table of classes, and complete the index's findings."""
    _report_errors(index, scans)
    _report_sizes(index, scans)
    files = [
        _file_labels(_shown(index, item), scans[item.name])
        for item in index.items
        if not scans[item.name].labels_error
    ]
    table = None if index.incomplete else resolve_classes(params, index, files)
    scan = FolderScan(index, scans, table)
    _report_notes(scan)
    _report_ignored(scan)
    _report_copies(scan)
    return scan


def _scan_item(item: FolderItem, index: FolderIndex) -> ItemScan:
    try:
        facts = read_facts(item.image)
    except PetsegError as error:
        text = as_example(error, index.root)
        return ItemScan(image_error=text, labels_error="the image can't be read")
    try:
        labels = item.annotation.read(facts.size)
    except PetsegError as error:
        text = as_example(error, index.root)
        return ItemScan(facts, labels_error=f"{item.name}: {text}" if _in_one(index) else text)
    pixels = labels.count()
    palette = dict(zip(labels.keys, labels.colors, strict=True)) if labels.colors else {}
    colors = {key: palette[key] for key in pixels if key in palette}
    edges = [labels.indices[0], labels.indices[-1], labels.indices[:, 0], labels.indices[:, -1]]
    first = edges[0][0]
    edge = labels.keys[first] if all((values == first).all() for values in edges) else None
    return ItemScan(facts, "", "", labels.size, pixels, colors, edge, labels.lossy, labels.notes)


def _file_labels(file: str, scan: ItemScan) -> FileLabels:
    return FileLabels(file, scan.pixels, scan.colors, scan.lossy)


def _shown(index: FolderIndex, item: FolderItem) -> str:
    """Return how messages name an annotation: its file, or its image if the file has several."""
    if _in_one(index):
        return item.name
    return str(item.annotation.path).removeprefix(f"{index.root}{os.sep}")


def _in_one(index: FolderIndex) -> bool:
    """Whether one file has the annotations of many images."""
    return index.format in ("coco", "cvat")


def _report_errors(index: FolderIndex, scans: dict[str, ItemScan]) -> None:
    images = [scan.image_error for scan in scans.values() if scan.image_error]
    labels = [
        scan.labels_error for scan in scans.values() if scan.labels_error and not scan.image_error
    ]
    index.findings.problem("Images that can't be read", images, "fix or remove them")
    index.findings.problem("Annotations that can't be read", labels, "fix or remove them")


def _report_sizes(index: FolderIndex, scans: dict[str, ItemScan]) -> None:
    other, turned, unsure = [], [], []
    for item in index.items:
        scan = scans[item.name]
        if scan.facts is None or scan.labels_error:
            continue
        shown = _shown(index, item)
        if scan.fits_turned:
            turned.append(shown)
        elif not scan.fits:
            sizes = f"{_size(scan.labels_size)}, image {_size(scan.facts.size)}"
            other.append(f"{shown} ({sizes})")
        elif scan.facts.orientation in (2, 3, 4) or (
            scan.facts.orientation in _TRANSPOSED and len(set(scan.facts.size)) == 1
        ):
            unsure.append(item.name)
    findings = index.findings
    findings.problem(
        "Masks of another size than their image", other, "a mask needs its image's size"
    )
    findings.note(
        "Masks drawn on photos before their EXIF rotation, turned with the photos", turned
    )
    findings.note(
        "Photos with an EXIF rotation that keeps their size",
        unsure,
        "their masks are taken to fit the photo as a viewer shows it; have a look",
    )


def _size(size: Size) -> str:
    return f"{size[0]}x{size[1]}"


def _report_notes(scan: FolderScan) -> None:
    """Report what reading the annotations left out or guessed."""
    files: dict[str, list[str]] = defaultdict(list)
    for item in scan.index.items:
        for note in scan.items[item.name].notes:
            files[note].append(_shown(scan.index, item))
    for note, its_files in files.items():
        scan.index.findings.note(note, its_files)


def _report_ignored(scan: FolderScan) -> None:
    if scan.table is None:
        return
    pixels = {name: scan.pixels_of(name) for name in scan.items}
    ignored = [name for name, counts in pixels.items() if counts[IGNORE_LABEL]]
    total = sum(counts.sum() for counts in pixels.values())
    if not ignored:
        return
    share = sum(pixels[name][IGNORE_LABEL] for name in ignored) / total
    whole = [name for name in ignored if pixels[name][IGNORE_LABEL] == pixels[name].sum()]
    scan.index.findings.note(f"{share:.2%} of the pixels belong to no class", ignored)
    scan.index.findings.note("Images without a single pixel in a class", whole)


def _report_copies(scan: FolderScan) -> None:
    places: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for split, items in scan.index.splits.items():
        for item in items:
            if facts := scan.items[item.name].facts:
                places[facts.sha256].append((split, item.name))
    across = [
        " = ".join(f"{name} ({split})" for split, name in copies)
        for copies in places.values()
        if len({split for split, _ in copies}) > 1
    ]
    scan.index.findings.note(
        "Images with the same bytes in two splits", across, "the scores will be too good"
    )
