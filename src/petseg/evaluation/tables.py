"""Scores from confusion counts: the headline of metrics/test.json, and the tables by picture, by breed, by class."""

from typing import Any

import numpy as np
import pandas as pd

from petseg.classes import BACKGROUND
from petseg.confusion import Matrix, accuracy, dice, foreground_iou, iou, mean_defined, mean_iou

_DIGITS = 6


def headline(matrices: Matrix, class_names: tuple[str, ...]) -> dict[str, Any]:
    """The metrics of a split from one confusion matrix per picture (P, N, N); an undefined one is None.

    `mean_iou`, `iou`, `pixel_accuracy`, `mean_dice` count all pixels of the split together. With a class "background",
    `binary_iou` is the IoU of all other classes taken as one, and `binary_iou_per_image` its mean over the pictures.
    """
    total = matrices.sum(axis=0)
    metrics: dict[str, Any] = {
        "mean_iou": _number(mean_iou(total)),
        "iou": {name: _number(value) for name, value in zip(class_names, iou(total), strict=True)},
        "pixel_accuracy": _number(accuracy(total)),
        "mean_dice": _number(mean_defined(dice(total))),
    }
    if BACKGROUND in class_names:
        background = class_names.index(BACKGROUND)
        metrics["binary_iou"] = _number(foreground_iou(total, background))
        metrics["binary_iou_per_image"] = _number(mean_defined(foreground_iou(matrices, background)))
    return metrics


def score_columns(matrices: Matrix, class_names: tuple[str, ...]) -> dict[str, Any]:
    """Columns of scores, one row per matrix: mean_iou, pixel_accuracy, iou_<class> ... and binary_iou."""
    columns = {"mean_iou": mean_iou(matrices), "pixel_accuracy": accuracy(matrices)}
    columns |= {f"iou_{name}": iou(matrices)[:, i] for i, name in enumerate(class_names)}
    if BACKGROUND in class_names:
        columns["binary_iou"] = foreground_iou(matrices, class_names.index(BACKGROUND))
    return {name: np.round(values, _DIGITS) for name, values in columns.items()}


def per_image_table(pictures: pd.DataFrame, matrices: Matrix, class_names: tuple[str, ...]) -> pd.DataFrame:
    """file_name, breed, species and scores of every picture, the worst first; undefined scores are empty."""
    table = pictures.assign(**score_columns(matrices, class_names))
    return table.sort_values(["mean_iou", "file_name"], ignore_index=True)


def per_breed_table(pictures: pd.DataFrame, matrices: Matrix, class_names: tuple[str, ...]) -> pd.DataFrame:
    """species, breed, number of pictures and scores over all pixels of each breed, the worst first."""
    rows = pictures.groupby(["species", "breed"]).indices
    sums = np.stack([matrices[indices].sum(axis=0) for indices in rows.values()])
    table = pd.DataFrame(list(rows), columns=["species", "breed"]).assign(
        pictures=[len(indices) for indices in rows.values()], **score_columns(sums, class_names)
    )
    return table.sort_values(["mean_iou", "breed"], ignore_index=True)


def confusion_table(total: Matrix, class_names: tuple[str, ...]) -> pd.DataFrame:
    """truth, prediction, pixels, and their share of the truth's pixels: one row per pair of classes."""
    shares = total / np.maximum(total.sum(axis=1, keepdims=True), 1)
    pairs = [(i, j) for i in range(len(class_names)) for j in range(len(class_names))]
    return pd.DataFrame(
        {
            "truth": [class_names[i] for i, _ in pairs],
            "prediction": [class_names[j] for _, j in pairs],
            "pair": [f"{class_names[i]} as {class_names[j]}" for i, j in pairs],  # the label of a bar in dvc plots
            "pixels": [int(total[pair]) for pair in pairs],
            "share": [round(float(shares[pair]), _DIGITS) for pair in pairs],
        }
    )


def _number(value: Any) -> float | None:
    return None if np.isnan(value) else round(float(value), _DIGITS)
