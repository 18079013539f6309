"""The counts of each image and the scores computed from them.

Every score is a function of summed counts, so the same code scores an image, a category, a split,
and a bootstrap resample of a split.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from petseg.core.labels import BACKGROUND, BORDER
from petseg.metrics import (
    Scores,
    accuracy,
    dice,
    foreground_iou,
    frequency_weighted_iou,
    iou,
    mask_true_class,
    mean_defined,
    mean_iou,
    ratio,
)

NamedScores = dict[tuple[str, ...], Scores]
"""Scores by path: ("iou", "pet") becomes the key "pet" under "iou" in JSON."""


@dataclass(frozen=True)
class Counts:
    """Pixel counts of one image, or of several with the number of images as the first axis."""

    class_names: tuple[str, ...]
    confusion: NDArray[Any]  # (..., N, N)
    boundary: NDArray[Any]  # (..., R, 2), see `boundary_counts`

    def select(self, images: NDArray[np.intp]) -> "Counts":
        """Return the counts of the images with these indices."""
        return Counts(self.class_names, self.confusion[images], self.boundary[images])

    def total(self) -> "Counts":
        """Return the sum over all images."""
        return Counts(self.class_names, self.confusion.sum(axis=0), self.boundary.sum(axis=0))

    def resample(self, weights: Scores) -> "Counts":
        """Return one weighted sum over the images for each row of weights (samples, images).

        The weights are whole numbers. Sums are exact up to 2**53. Counts that are floats already
        aren't copied.
        """
        counts = self.as_floats()
        return Counts(
            self.class_names,
            np.tensordot(weights, counts.confusion, 1),
            np.tensordot(weights, counts.boundary, 1),
        )

    def as_floats(self) -> "Counts":
        """Return the same counts in float64, which matrix products need."""
        return Counts(
            self.class_names,
            self.confusion.astype(float, copy=False),
            self.boundary.astype(float, copy=False),
        )


def stack_counts(counts: Sequence[Counts]) -> Counts:
    """Stack the counts of several images."""
    return Counts(
        counts[0].class_names,
        np.stack([image.confusion for image in counts]),
        np.stack([image.boundary for image in counts]),
    )


def compute_scores(counts: Counts) -> NamedScores:
    """Return all scores, each (...), of pixels counted together; undefined scores are NaN."""
    names, matrix = counts.class_names, counts.confusion
    class_iou, class_dice = iou(matrix), dice(matrix)  # (..., N)
    boundary_iou = ratio(counts.boundary[..., 0], counts.boundary[..., 1])
    scores: NamedScores = {
        ("mean_iou",): mean_iou(matrix),
        **{("iou", name): class_iou[..., i] for i, name in enumerate(names)},
        ("pixel_accuracy",): accuracy(matrix),
        ("mean_dice",): mean_defined(class_dice),
        **{("dice", name): class_dice[..., i] for i, name in enumerate(names)},
        ("frequency_weighted_iou",): frequency_weighted_iou(matrix),
        ("mean_boundary_iou",): mean_defined(boundary_iou[..., : len(names)]),
        **{("boundary_iou", name): boundary_iou[..., i] for i, name in enumerate(names)},
    }
    if BACKGROUND in names:
        scores |= _foreground_scores(counts)
        scores[("foreground_boundary_iou",)] = boundary_iou[..., len(names)]
    return scores


def per_image_scores(counts: Counts) -> NamedScores:
    """Return the scores of each image, (images,), whose mean over images is itself a metric."""
    return {
        (f"{name}_per_image",): values for (name,), values in _foreground_scores(counts).items()
    }


def compute_metrics(counts: Counts) -> NamedScores:
    """Return the metrics of a split: scores of all pixels together, then means over images."""
    per_image = {name: mean_defined(values) for name, values in per_image_scores(counts).items()}
    return compute_scores(counts.total()) | per_image


def _foreground_scores(counts: Counts) -> NamedScores:
    """Return the foreground IoU, and the same with pixels of the true border ignored."""
    names, matrix = counts.class_names, counts.confusion
    if BACKGROUND not in names:
        return {}
    background = names.index(BACKGROUND)
    scores: NamedScores = {("foreground_iou",): foreground_iou(matrix, background)}
    if BORDER in names:
        without_border = mask_true_class(matrix, names.index(BORDER))
        border_ignored = foreground_iou(without_border, background)
        scores[("foreground_iou_border_ignored",)] = border_ignored
    return scores
