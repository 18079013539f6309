"""Inspect a folder: everything that `petseg data` prints."""

from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

from petseg.config.data_params import FolderParams
from petseg.core.labels import BACKGROUND, IGNORE_LABEL, MAX_CLASSES
from petseg.datasets.folder.checking import check_items
from petseg.datasets.folder.classes.guessing import (
    NAMELESS,
    color_of_zero,
    explain_color_of_zero,
    name_labels,
)
from petseg.datasets.folder.classes.label_checks import CONVENTIONS, FileLabels
from petseg.datasets.folder.classes.label_text import as_hex, ordered
from petseg.datasets.folder.classes.labels import IGNORE_NAME, Label, Size
from petseg.datasets.folder.classes.palette_checks import PALETTES
from petseg.datasets.folder.decoding import decode_items
from petseg.datasets.folder.findings import Finding
from petseg.datasets.folder.index import NoAnnotation, index_folder
from petseg.datasets.folder.listing.names import Split
from petseg.datasets.folder.scan import FolderScan
from petseg.inspection.image_size import ProposedSize, propose_image_size
from petseg.inspection.part_widths import measure_widths
from petseg.inspection.suspicions import find_suspicions


@dataclass(frozen=True)
class LabelUse:
    """Where a label of the annotations occurs."""

    label: Label
    color: str  # "#rrggbb" in the palette, or empty
    class_name: str  # IGNORE_NAME if it belongs to none, empty if that is unknown
    pixels: int
    share: float  # of all pixels
    images: dict[Split, int]  # with at least one such pixel


@dataclass(frozen=True)
class Inspection:
    """A folder, and the parameters proposed for it."""

    scan: FolderScan
    params: FolderParams
    labels: list[LabelUse]
    sizes: Counter[Size]  # of the images as a viewer shows them
    num_turned: int  # images with an EXIF rotation
    problems: list[Finding]  # for which the folder can't be trained on with `params`
    notes: list[Finding]  # what is left out, guessed or drawn
    suspicions: list[Finding]
    image_size: ProposedSize | None


def inspect_folder(root: Path, params: FolderParams) -> Inspection:
    """Decode all images and annotations of a folder, with a progress bar.

    The parameters proposed are those given, with `annotations` and `classes` replaced if they are
    `auto`. Raises PetsegError as `index_folder` does, and OSError if the folder can't be read.
    """
    index = index_folder(params, root)
    ambiguous = bool(index.findings.problems)
    decoded = decode_items(index)
    scan = check_items(index, params, decoded)
    notes = []
    if _is_nameless(scan) and (classes := _name_labels(scan)):
        remedy = "those proposed are placeholders; rename them"
        if color := color_of_zero(_file_labels(scan)):
            remedy += f" ({explain_color_of_zero(color)})"
        notes.append(Finding(NAMELESS, remedy=remedy))
        params = params.model_copy(update={"classes": classes})
        scan = check_items(index_folder(params, root), params, decoded)
    findings = scan.index.findings
    facts = [item.facts for item in scan.items.values() if item.facts]
    sizes = [fact.size for fact in facts]
    return Inspection(
        scan=scan,
        params=params if ambiguous else _propose(params, scan),
        labels=_count_labels(scan),
        sizes=Counter(sizes),
        num_turned=sum(fact.orientation != 1 for fact in facts),
        problems=findings.problems,
        notes=findings.notes + notes,
        suspicions=find_suspicions(scan),
        image_size=propose_image_size(sizes, _object_areas(scan), measure_widths(scan)),
    )


def _is_nameless(scan: FolderScan) -> bool:
    """Whether all that the labels lack is names."""
    problems = [problem.what for problem in scan.index.findings.problems]
    return NAMELESS in problems and not any(
        what.startswith((CONVENTIONS, PALETTES)) for what in problems
    )


def _name_labels(scan: FolderScan) -> dict[str, tuple[Label, ...]] | None:
    """Return a table of placeholders, or None if there are too many labels for classes."""
    classes = name_labels(_file_labels(scan))
    return classes if len(classes) <= MAX_CLASSES else None


def _file_labels(scan: FolderScan) -> list[FileLabels]:
    return [item.file_labels(name) for name, item in scan.items.items()]


def _propose(params: FolderParams, scan: FolderScan) -> FolderParams:
    """Replace `auto` by what it means for this folder; the classes only if no file names them."""
    changes: dict[str, object] = {}
    if params.annotations == "auto" and scan.index.format:
        changes["annotations"] = scan.index.format
    if params.classes == "auto" and scan.table and not scan.index.classes:
        table = _table(scan)
        by_name = all(labels == (name,) for name, labels in table.items())
        changes["classes"] = scan.table.names if by_name else table
    return params.model_copy(update=changes)


def _table(scan: FolderScan) -> dict[str, tuple[Label, ...]]:
    """Return the table of classes, with only the labels that occur."""
    table: dict[str, tuple[Label, ...]] = defaultdict(tuple)
    for use in sorted(_count_labels(scan), key=lambda use: use.class_name == IGNORE_NAME):
        if use.class_name:
            label = as_hex(use.label) if scan.table and scan.table.by_color else use.label
            table[use.class_name] += (label,)
    return dict(table)


def _count_labels(scan: FolderScan) -> list[LabelUse]:
    """Return every label of the annotations, those of the first class first.

    The labels of a range such as "0-127" count as one.
    """
    names = scan.table.names if scan.table else ()
    classes: dict[Label, str] = {}

    def shown(label: Label) -> Label:
        index = scan.table.class_of(label) if scan.table else None
        text = (scan.table.range_of(label) if scan.table else None) or label
        name = "" if index is None else IGNORE_NAME if index == IGNORE_LABEL else names[index]
        classes[text] = name
        return text

    pixels: Counter[Label] = Counter()
    colors: dict[Label, set[Label]] = defaultdict(set)
    images: dict[Label, dict[Split, int]] = defaultdict(lambda: dict.fromkeys(scan.index.splits, 0))
    for split, items in scan.index.splits.items():
        for item in items:
            if isinstance(item.annotation, NoAnnotation):
                continue
            labels = Counter[Label]()
            for label, count in scan.labels_of(item.name).items():
                labels[shown(label)] += count
            pixels.update(labels)
            for label in labels:
                images[label][split] += 1
                if label in scan.items[item.name].colors:
                    colors[label].add(scan.items[item.name].colors[label])
    total = pixels.total()
    uses = []
    for label in ordered(pixels):
        color = as_hex(next(iter(colors[label]))) if len(colors[label]) == 1 else ""
        uses.append(
            LabelUse(
                label, color, classes[label], pixels[label], pixels[label] / total, images[label]
            )
        )
    order = {name: i for i, name in enumerate((*names, IGNORE_NAME))}
    return sorted(uses, key=lambda use: order.get(use.class_name, len(order)))


def _object_areas(scan: FolderScan) -> list[float]:
    """Return the area of each class but the background in each image, as a fraction of it."""
    if scan.table is None:
        return []
    areas = []
    for name in scan.items:
        counts = scan.pixels_of(name)
        for class_name, count in zip(scan.table.names, counts.tolist(), strict=False):
            if count and class_name != BACKGROUND:
                areas.append(count / counts.sum())
    return areas
