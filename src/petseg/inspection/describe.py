"""An inspection as text and as JSON."""

import statistics
from collections.abc import Iterable, Sequence
from typing import Any

from petseg.datasets.folder.classes.labels import Size
from petseg.datasets.folder.findings import Finding
from petseg.inspection.inspect import Inspection, LabelUse

_MAX_LABELS, _MAX_UNKNOWN = 60, 8  # rows of the table, for labels in a class and in none
_MAX_SIZES = 3


def describe(inspection: Inspection) -> str:
    """Return what a folder is and what is wrong with it, in lines."""
    index = inspection.scan.index
    blocks = [f"{inspection.params.path}\n{index.summary}"]
    if inspection.sizes:
        blocks[0] += f"\n{_sizes_text(inspection)}"
    if inspection.labels:
        blocks.append(_table(inspection))
    blocks += [
        _listed("Problems, because of which the folder can't be trained on", inspection.problems),
        _listed("Notes", inspection.notes),
        _listed("Have a look", inspection.suspicions),
    ]
    if size := inspection.image_size:
        value = size.value.as_parameter()
        tiles = ""
        if size.tiles:
            tiles = (
                f", preprocess.tiles: {{size: {size.tiles.size}, overlap: {size.tiles.overlap}}}"
            )
        blocks.append(f"Proposed preprocess.image_size: {value}{tiles} ({size.reason}).")
    return "\n\n".join(filter(None, blocks))


def as_dict(inspection: Inspection) -> dict[str, Any]:
    """Return the same for JSON, with all examples of each finding."""
    index = inspection.scan.index
    sizes = inspection.sizes
    return {
        "folder": str(inspection.params.path),
        "trainable": not inspection.problems,
        "annotations": index.format,
        "matched_by": index.rule,
        "classes_from": index.classes_from,
        "classes": list(inspection.scan.table.names) if inspection.scan.table else None,
        "splits": {split: len(items) for split, items in index.splits.items()},
        "sizes": [
            {"width": width, "height": height, "images": count}
            for (width, height), count in sizes.most_common()
        ],
        "exif_rotated": inspection.num_turned,
        "labels": [
            {
                "label": use.label,
                "color": use.color or None,
                "class": use.class_name or None,
                "pixels": use.pixels,
                "share": use.share,
                "images": use.images,
            }
            for use in inspection.labels
        ],
        "problems": _as_dicts(inspection.problems),
        "notes": _as_dicts(inspection.notes),
        "suspicions": _as_dicts(inspection.suspicions),
        "params": {
            "dataset.name": "folder",
            **{f"dataset.folder.{k}": v for k, v in inspection.params.model_dump().items()},
            "preprocess.image_size": inspection.image_size
            and inspection.image_size.value.as_parameter(),
            **(
                {"preprocess.resize": "stretch"}  # as --write sets it
                if inspection.image_size and inspection.image_size.tiles
                else {}
            ),
            "preprocess.tiles": (
                inspection.image_size.tiles.model_dump()
                if inspection.image_size and inspection.image_size.tiles
                else "none"
            ),
        },
    }


def _as_dicts(findings: Iterable[Finding]) -> list[dict[str, Any]]:
    return [
        {"what": finding.what, "examples": list(finding.examples), "remedy": finding.remedy}
        for finding in findings
    ]


def _listed(title: str, findings: Sequence[Finding]) -> str:
    return f"{title}:\n" + "\n".join(f"- {finding}" for finding in findings) if findings else ""


def _sizes_text(inspection: Inspection) -> str:
    sizes = inspection.sizes
    turned = f"; {inspection.num_turned} turned by EXIF" if inspection.num_turned else ""
    if len(sizes) == 1:
        return f"Size of all images: {_size(next(iter(sizes)))}{turned}."
    by_area = sorted(sizes.elements(), key=lambda size: (size[0] * size[1], size))
    shown = sizes.most_common(_MAX_SIZES)
    common = ", ".join(f"{_size(size)} ({count})" for size, count in shown)
    more = f", and {len(sizes) - _MAX_SIZES} more" if len(sizes) > _MAX_SIZES else ""
    return (
        f"Sizes of the images: {common}{more}; from {_size(by_area[0])} to {_size(by_area[-1])}, "
        f"median {_size(statistics.median_low(by_area))}{turned}."
    )


def _size(size: Size) -> str:
    return f"{size[0]}x{size[1]}"


def _table(inspection: Inspection) -> str:
    splits = list(inspection.scan.index.splits)
    header = ("class", "label", "pixels", *(f"{split} images" for split in splits))
    known = [use for use in inspection.labels if use.class_name]
    unknown = [use for use in inspection.labels if not use.class_name]
    unknown.sort(key=lambda use: use.pixels, reverse=True)
    shown = known[:_MAX_LABELS] + unknown[:_MAX_UNKNOWN]
    rows = [header, *(_row(use, splits) for use in shown)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(header))]
    lines = [
        "  ".join(
            cell.ljust(width) if i < 2 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    if len(shown) < len(inspection.labels):
        lines.append(f"and {len(inspection.labels) - len(shown)} more labels (--json lists all)")
    return "\n".join(lines)


def _row(use: LabelUse, splits: Sequence[Any]) -> tuple[str, ...]:
    label = f"{use.label} ({use.color})" if use.color else str(use.label)
    share = f"{use.share:.2%}" if use.share >= 0.0001 else f"{use.pixels} px"
    return (use.class_name or "(none)", label, share, *(str(use.images[split]) for split in splits))
