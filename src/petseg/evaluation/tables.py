"""Scores as metrics files and CSV tables: by split, image, category, supercategory and class."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from petseg.core.atomic_io import atomic_write
from petseg.evaluation.bootstrap import Intervals
from petseg.evaluation.per_image import Counts, NamedScores, compute_scores, stack_counts
from petseg.metrics import Matrix, rounded

_DIGITS = 6
_NOT_IN_SUMMARY = (
    "dice",
    "boundary_iou",
    "foreground_boundary_iou",
    "foreground_iou_border_ignored",
)
_TABLE_SCORES = ("mean_iou", "pixel_accuracy", "iou", "foreground_iou", "mean_boundary_iou")


def summary_metrics(metrics: NamedScores, intervals: Intervals) -> dict[str, Any]:
    """Return the content of metrics/test.json: the main metrics, and the mean IoU's interval.

    Undefined values are None.
    """
    lower, upper = intervals[("mean_iou",)]
    values = {
        name: rounded(value)
        for name, value in metrics.items()
        if not name[0].startswith(_NOT_IN_SUMMARY)
    }
    values[("mean_iou_ci95", "lower")] = rounded(lower)
    values[("mean_iou_ci95", "upper")] = rounded(upper)
    return nested(values)


def nested(values: Mapping[tuple[str, ...], Any]) -> dict[str, Any]:
    """Convert {("iou", "pet"): 0.8} to {"iou": {"pet": 0.8}}."""
    tree: dict[str, Any] = {}
    for (*path, last), value in values.items():
        branch = tree
        for key in path:
            branch = branch.setdefault(key, {})
        branch[last] = value
    return tree


def scores_table(splits: Mapping[str, tuple[NamedScores, Intervals]]) -> pd.DataFrame:
    """List every metric of each split: split, metric, value, ci95_lower, ci95_upper."""
    rows = [
        (split, ".".join(name), float(value), *intervals[name])
        for split, (metrics, intervals) in splits.items()
        for name, value in metrics.items()
    ]
    columns = ["split", "metric", "value", "ci95_lower", "ci95_upper"]
    return pd.DataFrame(rows, columns=columns).round(_DIGITS)


def per_image_table(images: pd.DataFrame, counts: Counts) -> pd.DataFrame:
    """Add scores to `images`, worst image first. Undefined scores are empty."""
    table = pd.concat([images, _score_columns(counts)], axis=1)
    return table.sort_values(["mean_iou", "file_name"], ignore_index=True)


def grouped_table(images: pd.DataFrame, counts: Counts, keys: Sequence[str]) -> pd.DataFrame:
    """Group images by the keys and score each group over all its pixels, worst group first.

    Columns: the keys, the number of images, and scores.
    """
    groups = images.groupby(list(keys)).indices
    totals = [counts.select(np.asarray(indices)).total() for indices in groups.values()]
    names = [name if isinstance(name, tuple) else (name,) for name in groups]
    sizes = [len(indices) for indices in groups.values()]
    table = pd.DataFrame(names, columns=list(keys)).assign(images=sizes)
    table = pd.concat([table, _score_columns(stack_counts(totals))], axis=1)
    return table.sort_values(["mean_iou", *keys], ignore_index=True)


def confusion_table(total: Matrix, class_names: tuple[str, ...]) -> pd.DataFrame:
    """List each pair of classes: truth, prediction, pair, pixels, and their share of the truth.

    `pair` labels the bar in `dvc plots`.
    """
    shares = total / np.maximum(total.sum(axis=1, keepdims=True), 1)
    rows = [
        {
            "truth": truth,
            "prediction": prediction,
            "pair": f"{truth} as {prediction}",
            "pixels": int(total[i, j]),
            "share": round(float(shares[i, j]), _DIGITS),
        }
        for i, truth in enumerate(class_names)
        for j, prediction in enumerate(class_names)
    ]
    return pd.DataFrame(rows)


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a table as CSV, atomically."""
    atomic_write(path, table.to_csv(index=False, lineterminator="\n"))


def _score_columns(counts: Counts) -> pd.DataFrame:
    """Return score columns, one row per image or group: mean_iou, pixel_accuracy, iou_<class>."""
    return pd.DataFrame(
        {
            "_".join(name): np.round(values, _DIGITS)
            for name, values in compute_scores(counts).items()
            if name[0] in _TABLE_SCORES
        }
    )
