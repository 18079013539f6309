"""What is counted in each picture, the scores that follow from it, and how sure they are.

Every score is a function of summed counts, so the same lines score one picture, a category, a split, or a split drawn anew
from its own pictures, as the bootstrap does.
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
"""Scores by name; ("iou", "pet") stands as "pet" under "iou" in a JSON."""


@dataclass(frozen=True)
class Counts:
    """Counts of one picture or of several, (...) with the latter's number first."""

    class_names: tuple[str, ...]
    confusion: NDArray[Any]  # (..., N, N)
    boundary: NDArray[Any]  # (..., R, 2), see `boundary_counts`

    def at(self, pictures: NDArray[np.intp]) -> "Counts":
        """Those of some of the pictures."""
        return Counts(self.class_names, self.confusion[pictures], self.boundary[pictures])

    def total(self) -> "Counts":
        """The sum over all pictures."""
        return Counts(self.class_names, self.confusion.sum(axis=0), self.boundary.sum(axis=0))

    def resample(self, times: Scores) -> "Counts":
        """For each row of times (D, P): the sum over the pictures, each taken so many times; exact up to 2**53."""
        confusion, boundary = (
            np.tensordot(times, each.astype(float), 1) for each in (self.confusion, self.boundary)
        )
        return Counts(self.class_names, confusion, boundary)


def stack_counts(counts: Sequence[Counts]) -> Counts:
    """Those of several pictures, one row each."""
    confusion, boundary = (
        np.stack([getattr(each, what) for each in counts]) for what in ("confusion", "boundary")
    )
    return Counts(counts[0].class_names, confusion, boundary)


def compute_scores(counts: Counts) -> NamedScores:
    """All scores of pixels counted together, each (...); an undefined one is NaN."""
    names, matrix = counts.class_names, counts.confusion
    edges = ratio(counts.boundary[..., 0], counts.boundary[..., 1])
    scores: NamedScores = {
        ("mean_iou",): mean_iou(matrix),
        **{("iou", name): iou(matrix)[..., i] for i, name in enumerate(names)},
        ("pixel_accuracy",): accuracy(matrix),
        ("mean_dice",): mean_defined(dice(matrix)),
        **{("dice", name): dice(matrix)[..., i] for i, name in enumerate(names)},
        ("frequency_weighted_iou",): frequency_weighted_iou(matrix),
        ("mean_boundary_iou",): mean_defined(edges[..., : len(names)]),
        **{("boundary_iou", name): edges[..., i] for i, name in enumerate(names)},
    }
    if BACKGROUND in names:
        scores |= {**_binary(counts), ("foreground_boundary_iou",): edges[..., len(names)]}
    return scores


def per_image_scores(counts: Counts) -> NamedScores:
    """The scores of each picture (P,) of which the mean over the pictures is a metric of its own."""
    return {(f"{name}_per_image",): values for (name,), values in _binary(counts).items()}


def _binary(counts: Counts) -> NamedScores:
    """IoU of everything but the background as one class; and the same with the true border left out."""
    names, matrix = counts.class_names, counts.confusion
    if BACKGROUND not in names:
        return {}
    background = names.index(BACKGROUND)
    scores: NamedScores = {("foreground_iou",): foreground_iou(matrix, background)}
    if BORDER in names:
        without = mask_true_class(matrix, names.index(BORDER))
        scores[("foreground_iou_border_ignored",)] = foreground_iou(without, background)
    return scores


def compute_metrics(counts: Counts) -> NamedScores:
    """The metrics of a split from the counts of its pictures: of all pixels together, then means over the pictures."""
    per_image = {name: mean_defined(values) for name, values in per_image_scores(counts).items()}
    return compute_scores(counts.total()) | per_image
