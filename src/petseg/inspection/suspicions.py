"""What may be wrong with a folder that can be trained on. Somebody has to look."""

import re
from collections import defaultdict
from functools import partial
from itertools import chain

from petseg.core.labels import BACKGROUND, IGNORE_LABEL
from petseg.datasets.folder.classes.class_table import ClassTable
from petseg.datasets.folder.classes.label_text import ordered
from petseg.datasets.folder.classes.labels import Label
from petseg.datasets.folder.findings import Finding
from petseg.datasets.folder.index import NoAnnotation
from petseg.datasets.folder.listing.names import simplify
from petseg.datasets.folder.scan import FolderScan

_HANDFUL_PIXELS, _HANDFUL_SHARE = 16, 1e-4
_FEW_LABELS = 3
_NUMBERED = re.compile(r"(.*?)[\s_-]*\d+")


def find_suspicions(scan: FolderScan) -> list[Finding]:
    """Return what looks like a mistake and isn't among the findings of the scan.

    Labels are judged only if all of them are in a class or ignored.
    """
    findings = _copies(scan)
    if scan.table:
        findings += _similar_names(scan.table) + _numbered_names(scan, scan.table)
    if scan.table and all(map(partial(_is_known, scan), scan.items)):
        findings += _rare_labels(scan) + _without_objects(scan, scan.table)
        findings += _missing_classes(scan, scan.table) + _lossy_masks(scan)
        findings += _counted_objects(scan) + _missing_background(scan) + _boxes(scan)
    return findings


def _is_known(scan: FolderScan, name: str) -> bool:
    return sum(scan.labels_of(name).values()) == int(scan.pixels_of(name).sum())


def _rare_labels(scan: FolderScan) -> list[Finding]:
    """Find labels with at most 16 pixels, or 0.01 % of the image, in every file that has them.

    Also find those that only one file has, if most are so.
    """
    files: dict[Label, int] = defaultdict(int)
    pixels: dict[Label, int] = defaultdict(int)
    common: set[Label] = set()
    for name in scan.items:
        counts = scan.labels_of(name)
        handful = max(_HANDFUL_PIXELS, _HANDFUL_SHARE * sum(counts.values()))
        for label, count in counts.items():
            files[label] += 1
            pixels[label] += count
            if count > handful:
                common.add(label)
    findings = []
    rare = [
        f"{label} ({pixels[label]} pixels in {files[label]} file{'s' * (files[label] > 1)})"
        for label in ordered(files)
        if label not in common and not (scan.table and scan.table.range_of(label))
    ]
    single = tuple(str(label) for label in ordered(files) if files[label] == 1)
    if rare:
        what = "Labels that occur in a handful of pixels only"
        findings.append(Finding(what, tuple(rare), "they may be strays or blurred edges"))
    if len(single) > max(_FEW_LABELS, len(files) // 2) and not scan.index.has_shapes:
        what = "Most labels are in one file only"
        findings.append(Finding(what, single, "they may number objects, not classes"))
    return findings


def _counted_objects(scan: FolderScan) -> list[Finding]:
    """Find masks whose labels, which no file names, are 1, 2, ... in each, but not equally many."""
    if scan.index.has_shapes or scan.index.classes:
        return []
    labels = [item.pixels.keys() - {0, IGNORE_LABEL} for item in scan.items.values()]
    counting = all(its == set(range(1, len(its) + 1)) for its in labels)
    if not counting or len({len(its) for its in labels if its}) < _FEW_LABELS:
        return []
    what = "Labels count from 1 in every mask"
    return [Finding(what, remedy="they may number objects, not classes")]


def _without_objects(scan: FolderScan, table: ClassTable) -> list[Finding]:
    """Find masks of background alone, inverted ones, and those whose whole object is ignored."""
    if BACKGROUND not in table.names:
        return []
    background = table.names.index(BACKGROUND)
    empty, ignored, framed = [], [], []
    for item in scan.index.items:
        its = scan.items[item.name]
        edge = its.edge
        if edge is not None and table.by_color:
            edge = its.colors.get(edge, edge)
        if edge is not None and table.class_of(edge) not in (background, IGNORE_LABEL):
            framed += [item.name] * bool(scan.pixels_of(item.name)[background])
        present = set(scan.pixels_of(item.name).nonzero()[0].tolist())
        if present == {background} and not isinstance(item.annotation, NoAnnotation):
            empty.append(item.name)
        elif present == {background, IGNORE_LABEL}:
            ignored.append(item.name)
    findings = []
    if empty:
        findings.append(
            Finding("Masks of background only", tuple(empty), "check that they are finished")
        )
    if framed:
        what = "Masks with an object at all edges and background inside"
        findings.append(Finding(what, tuple(framed), "they may be inverted"))
    if ignored:
        what = "Images of background and ignored pixels only, whose whole object is ignored"
        findings.append(Finding(what, tuple(ignored), "check dataset.folder.classes"))
    return findings


def _similar_names(table: ClassTable) -> list[Finding]:
    """Find classes such as Cat and cat."""
    spellings: dict[str, list[str]] = defaultdict(list)
    for name in table.names:
        spellings[simplify(name)].append(name)
    same = tuple(" and ".join(names) for names in spellings.values() if len(names) > 1)
    what, remedy = "Classes whose names differ in case only", "merge them in dataset.folder.classes"
    return [Finding(what, same, remedy)] if same else []


def _numbered_names(scan: FolderScan, table: ClassTable) -> list[Finding]:
    """Find labels of shapes such as cell_1, cell_2 and cell_3."""
    numbered: dict[str, list[str]] = defaultdict(list)
    for name in table.names if scan.index.has_shapes else ():
        if match := _NUMBERED.fullmatch(name):
            numbered[match[1]].append(name)
    series = [names for names in numbered.values() if len(names) >= _FEW_LABELS]
    remedy = "if they number objects, merge them in dataset.folder.classes"
    what = "Classes whose names differ only in a number"
    return [Finding(what, tuple(chain(*series)), remedy)] if series else []


def _missing_classes(scan: FolderScan, table: ClassTable) -> list[Finding]:
    """Find splits without a class that others have."""
    findings = []
    for split, items in scan.index.splits.items():
        present = {i for item in items for i in scan.pixels_of(item.name).nonzero()[0].tolist()}
        missing = tuple(name for i, name in enumerate(table.names) if i not in present)
        if items and missing:
            what = f"Classes without a pixel in the {split} split"
            remedy = (
                "nothing can learn them"
                if split == "train"
                else "they have no IoU there, or 0 if a model predicts them"
            )
            findings.append(Finding(what, missing, remedy))
    return findings


def _missing_background(scan: FolderScan) -> list[Finding]:
    """Find masks without the background that the export names."""
    labels = set((scan.index.classes or {}).get(BACKGROUND, ()))
    occurs = any(labels & scan.labels_of(name).keys() for name in scan.items)
    if scan.index.has_shapes or not labels or occurs:
        return []
    what = f"No mask has {BACKGROUND}, which {scan.index.classes_from} names"
    return [Finding(what, remedy="all labels may be off by one")]


def _boxes(scan: FolderScan) -> list[Finding]:
    """Find that all shapes of a folder are rectangles."""
    with_shapes = [item for item in scan.items.values() if item.pixels.keys() - {BACKGROUND}]
    if not with_shapes or not all(item.only_boxes for item in with_shapes):
        return []
    remedy = "if they are boxes around the objects, export polygons or masks"
    return [Finding("All shapes are rectangles", remedy=remedy)]


def _lossy_masks(scan: FolderScan) -> list[Finding]:
    lossy = tuple(name for name, item in scan.items.items() if item.lossy)
    what = "Images whose masks are JPEG or lossy WebP, which blurs edges"
    return [Finding(what, lossy, "PNG would be exact")] if lossy else []


def _copies(scan: FolderScan) -> list[Finding]:
    """Find images with the same pixels within a split; across splits, the scan reports them."""
    copies: dict[tuple[str, str], set[str]] = defaultdict(set)
    for split, items in scan.index.splits.items():
        for item in items:
            if facts := scan.items[item.name].facts:
                copies[split, facts.fingerprint].add(item.name)
    same = tuple(" = ".join(sorted(names)) for names in copies.values() if len(names) > 1)
    return [Finding("Images with the same pixels within a split", same)] if same else []
