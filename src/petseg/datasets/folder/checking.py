"""Check what a folder contains: fix its table of classes, and report what is wrong or guessed."""

import os
from collections import Counter, defaultdict

from petseg.config.data_params import FolderParams
from petseg.core.labels import IGNORE_LABEL
from petseg.datasets.folder.classes.labels import Size
from petseg.datasets.folder.classes.resolve import resolve_classes
from petseg.datasets.folder.decoding import decode_items
from petseg.datasets.folder.index import FolderIndex, FolderItem, NoAnnotation
from petseg.datasets.folder.scan import TRANSPOSED, FolderScan, ItemScan


def scan_folder(index: FolderIndex, params: FolderParams) -> FolderScan:
    """Decode all images and annotations, and complete the index's findings."""
    return check_items(index, params, decode_items(index))


def check_items(index: FolderIndex, params: FolderParams, scans: dict[str, ItemScan]) -> FolderScan:
    """Fix the table of classes, and complete the index's findings."""
    _report_errors(index, scans)
    _report_sizes(index, scans)
    _report_channels(index, scans)
    files = [
        scans[item.name].file_labels(_shown(index, item))
        for item in index.items
        if not scans[item.name].labels_error
        and (params.unlabeled == "background" or not isinstance(item.annotation, NoAnnotation))
    ]
    table = None if index.incomplete else resolve_classes(params, index, files)
    scan = FolderScan(index, scans, table)
    _report_notes(scan)
    _report_ignored(scan)
    _report_copies(scan)
    return scan


def _shown(index: FolderIndex, item: FolderItem) -> str:
    """Return how messages name an annotation: its file, or its image if the file has several."""
    if index.in_one_file:
        return item.name
    return str(item.annotation.path).removeprefix(f"{index.root}{os.sep}")


def _report_errors(index: FolderIndex, scans: dict[str, ItemScan]) -> None:
    images = [scan.image_error for scan in scans.values() if scan.image_error]
    labels = [
        scan.labels_error for scan in scans.values() if scan.labels_error and not scan.image_error
    ]
    index.findings.problem("Images that can't be read", images, "fix or remove them")
    index.findings.problem("Annotations that can't be read", labels, "fix or remove them")


def _report_sizes(index: FolderIndex, scans: dict[str, ItemScan]) -> None:
    other, turned, unsure, unknown = [], [], [], []
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
            scan.facts.orientation in TRANSPOSED and len(set(scan.facts.size)) == 1
        ):
            unsure.append(item.name)
        elif scan.facts.orientation in TRANSPOSED and not index.has_sizes:
            unknown.append(item.name)
    findings = index.findings
    findings.problem(
        "Masks of another size than their image", other, "a mask needs its image's size"
    )
    findings.note(
        "Masks drawn on photos before their EXIF rotation, turned with the photos", turned
    )
    remedy = "their masks are taken to fit the photo as a viewer shows it; have a look"
    findings.note("Photos with an EXIF rotation that keeps their size", unsure, remedy)
    what = f"Photos with an EXIF rotation, of which {str(index.format).upper()}'s files say nothing"
    findings.note(what, unknown, remedy)


def _size(size: Size) -> str:
    return f"{size[0]}x{size[1]}"


def _report_channels(index: FolderIndex, scans: dict[str, ItemScan]) -> None:
    facts = {name: scan.facts for name, scan in scans.items() if scan.facts}
    extra = [name for name, its in facts.items() if its.has_extra_channel]
    what = "Images with an extra channel (transparency, infrared), which petseg ignores"
    index.findings.note(what, extra)
    bits = Counter(its.gray_bits for its in facts.values() if its.gray_bits)
    if len(bits) > 1:
        counts = ", ".join(f"{count} from {number} bits" for number, count in sorted(bits.items()))
        index.findings.note(
            "16-bit gray images, each scaled to 8 bits by its own brightest pixel",
            [name for name, its in facts.items() if its.gray_bits],
            f"{counts}; if absolute brightness matters, convert all images to 8 bits alike",
        )


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
                places[facts.fingerprint].append((split, item.name))
    across = [
        " = ".join(f"{name} ({split})" for split, name in copies)
        for copies in places.values()
        if len({split for split, _ in copies}) > 1
    ]
    scan.index.findings.note(
        "Images with the same pixels in two splits", across, "the scores will be too good"
    )
