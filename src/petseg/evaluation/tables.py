"""Scores as the metrics files and the tables show them: by split, by picture, by category, by supercategory, by class."""

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
_DETAILS = ("dice", "boundary_iou", "foreground_boundary_iou", "foreground_iou_border_ignored")
_COLUMNS = ("mean_iou", "pixel_accuracy", "iou", "foreground_iou", "mean_boundary_iou")


def summary_metrics(metrics: NamedScores, intervals: Intervals) -> dict[str, Any]:
    """What metrics/test.json holds, with the interval of the mean IoU alone; what is undefined is None."""
    values = {
        name: rounded(value) for name, value in metrics.items() if not name[0].startswith(_DETAILS)
    }
    bounds = zip(("lower", "upper"), intervals[("mean_iou",)], strict=True)
    return nested(values | {("mean_iou_ci95", bound): rounded(value) for bound, value in bounds})


def scores_table(splits: Mapping[str, tuple[NamedScores, Intervals]]) -> pd.DataFrame:
    """Every metric of each split with the bounds of its 95 % interval: split, metric, value, ci95_lower, ci95_upper."""
    rows = [
        (split, ".".join(name), float(value), *intervals[name])
        for split, (metrics, intervals) in splits.items()
        for name, value in metrics.items()
    ]
    return pd.DataFrame(
        rows, columns=["split", "metric", "value", "ci95_lower", "ci95_upper"]
    ).round(_DIGITS)


def nested(values: Mapping[tuple[str, ...], Any]) -> dict[str, Any]:
    """{("iou", "pet"): 0.8} as {"iou": {"pet": 0.8}}"""
    tree: dict[str, Any] = {}
    for (*path, last), value in values.items():
        branch = tree
        for key in path:
            branch = branch.setdefault(key, {})
        branch[last] = value
    return tree


def score_columns(counts: Counts) -> dict[str, Any]:
    """Columns of scores, one row per picture or group of pictures: mean_iou, pixel_accuracy, iou_<class> ..."""
    return {
        "_".join(name): np.round(values, _DIGITS)
        for name, values in compute_scores(counts).items()
        if name[0] in _COLUMNS
    }


def per_image_table(pictures: pd.DataFrame, counts: Counts) -> pd.DataFrame:
    """file_name, category, supercategory and scores of every picture, the worst first; undefined scores are empty."""
    table = pictures.assign(**score_columns(counts))
    return table.sort_values(["mean_iou", "file_name"], ignore_index=True)


def grouped_table(pictures: pd.DataFrame, counts: Counts, keys: Sequence[str]) -> pd.DataFrame:
    """The keys, number of pictures and scores over all pixels of each group of pictures, the worst first."""
    groups = pictures.groupby(list(keys)).indices
    together = stack_counts([counts.at(np.asarray(indices)).total() for indices in groups.values()])
    names = [name if isinstance(name, tuple) else (name,) for name in groups]
    table = pd.DataFrame(names, columns=list(keys)).assign(
        pictures=[len(indices) for indices in groups.values()], **score_columns(together)
    )
    return table.sort_values(["mean_iou", *keys], ignore_index=True)


def write_table(path: Path, table: pd.DataFrame) -> None:
    """As CSV, whole or not at all."""
    atomic_write(path, table.to_csv(index=False, lineterminator="\n"))


def confusion_table(total: Matrix, class_names: tuple[str, ...]) -> pd.DataFrame:
    """truth, prediction, pixels, and their share of the truth's pixels: one row per pair of classes."""
    shares = total / np.maximum(total.sum(axis=1, keepdims=True), 1)
    pairs = [(i, j) for i in range(len(class_names)) for j in range(len(class_names))]
    return pd.DataFrame(
        {
            "truth": [class_names[i] for i, _ in pairs],
            "prediction": [class_names[j] for _, j in pairs],
            "pair": [
                f"{class_names[i]} as {class_names[j]}" for i, j in pairs
            ],  # the label of a bar in dvc plots
            "pixels": [int(total[pair]) for pair in pairs],
            "share": [round(float(shares[pair]), _DIGITS) for pair in pairs],
        }
    )
