"""What is counted in each picture, the scores that follow from it, and how sure they are.

Every score is a function of summed counts, so the same lines score one picture, a breed, a split, or a split drawn anew
from its own pictures, as the bootstrap does.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from petseg.classes import BACKGROUND, BORDER
from petseg.confusion import (
    Scores,
    accuracy,
    dice,
    foreground_iou,
    frequency_weighted_iou,
    ignoring,
    iou,
    mean_defined,
    mean_iou,
    ratio,
)

Named = dict[tuple[str, ...], Scores]
"""Scores by name; ("iou", "pet") stands as "pet" under "iou" in a JSON."""

Intervals = dict[tuple[str, ...], tuple[float, float]]
"""Lower and upper bounds of scores by name."""

_FINE = 2.0**30  # a mean's scores are taken as whole multiples of 1 / this
_NUMBERS = 10**7  # in an array of the bootstrap, at most


@dataclass(frozen=True)
class Counts:
    """Counts of one picture or of several, (...) standing for the latter's number."""

    class_names: tuple[str, ...]
    confusion: NDArray[Any]  # (..., N, N)
    boundary: NDArray[Any]  # (..., R, 2), see `boundary_counts`

    def at(self, pictures: NDArray[np.intp]) -> "Counts":
        """Those of some of the pictures."""
        return Counts(self.class_names, self.confusion[pictures], self.boundary[pictures])

    def total(self) -> "Counts":
        """The sum over all pictures."""
        return Counts(self.class_names, self.confusion.sum(axis=0), self.boundary.sum(axis=0))

    def drawn(self, times: Scores) -> "Counts":
        """For each row of times (D, P): the sum over the pictures, each taken so many times; exact up to 2**53."""
        confusion, boundary = (np.tensordot(times, each.astype(float), 1) for each in (self.confusion, self.boundary))
        return Counts(self.class_names, confusion, boundary)


def stacked(counts: Sequence[Counts]) -> Counts:
    """Those of several pictures, one row each."""
    confusion, boundary = (np.stack([getattr(each, what) for each in counts]) for what in ("confusion", "boundary"))
    return Counts(counts[0].class_names, confusion, boundary)


def scores_of(counts: Counts) -> Named:
    """All scores of pixels counted together, each (...); an undefined one is NaN."""
    names, matrix = counts.class_names, counts.confusion
    edges = ratio(counts.boundary[..., 0], counts.boundary[..., 1])
    scores: Named = {
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
        scores |= {**_binary(counts), ("binary_boundary_iou",): edges[..., len(names)]}
    return scores


def scores_per_image(counts: Counts) -> Named:
    """The scores of each picture (P,) of which the mean over the pictures is a metric of its own."""
    return {(f"{name}_per_image",): values for (name,), values in _binary(counts).items()}


def _binary(counts: Counts) -> Named:
    """IoU of everything but the background as one class; and the same with the true border left out."""
    names, matrix = counts.class_names, counts.confusion
    if BACKGROUND not in names:
        return {}
    background = names.index(BACKGROUND)
    scores: Named = {("binary_iou",): foreground_iou(matrix, background)}
    if BORDER in names:
        without = ignoring(matrix, names.index(BORDER))
        scores[("binary_iou_border_ignored",)] = foreground_iou(without, background)
    return scores


def metrics_of(counts: Counts) -> Named:
    """The metrics of a split from the counts of its pictures: of all pixels together, then means over the pictures."""
    per_image = {name: mean_defined(values) for name, values in scores_per_image(counts).items()}
    return scores_of(counts.total()) | per_image


def intervals_of(counts: Counts, draws: int) -> Intervals:
    """95 % confidence intervals (low, high) of the metrics, by the percentile bootstrap over pictures.

    The split's pictures are drawn from it as many times as there are, with replacement, so many times over.
    """
    return {name: _middle(values) for name, values in _bootstrap(counts, draws).items()}


def difference_intervals(counts: Counts, others: Counts, draws: int) -> Intervals:
    """Likewise of how far the others' metrics lie above the first's; both are of the same pictures in the same order.

    Each draw takes the same pictures for both, so what is hard for both cancels out.
    """
    first, second = _bootstrap(counts, draws), _bootstrap(others, draws)
    return {name: _middle(second[name] - values) for name, values in first.items()}


def _bootstrap(counts: Counts, draws: int) -> Named:
    """The metrics (draws,) of the pictures drawn anew, the same ones on every run."""
    values: dict[tuple[str, ...], list[Scores]] = {}
    at_once = max(1, _NUMBERS // max(len(counts.confusion), counts.confusion[0].size))
    for times in _resampled(len(counts.confusion), draws, at_once):
        drawn = scores_of(counts.drawn(times))
        for name, each in scores_per_image(counts).items():
            defined = ~np.isnan(each)
            whole = np.rint(np.where(defined, each, 0.0) * _FINE)  # which add up to the same in any order
            drawn[name] = ratio(times @ whole, times @ defined) / _FINE
        for name, some in drawn.items():
            values.setdefault(name, []).append(some)
    return {name: np.concatenate(some) for name, some in values.items()}


def _resampled(pictures: int, draws: int, at_once: int) -> Iterator[Scores]:
    """How often each picture is drawn, (some draws, pictures) at a time; the same ones on every run."""
    rng = np.random.default_rng(0)
    for start in range(0, draws, at_once):
        chosen = (rng.integers(pictures, size=pictures) for _ in range(min(at_once, draws - start)))
        yield np.stack([np.bincount(each, minlength=pictures) for each in chosen]).astype(float)


def _middle(values: Scores) -> tuple[float, float]:
    """The bounds between which 95 % of the defined values lie."""
    defined = values[~np.isnan(values)]
    if not len(defined):
        return np.nan, np.nan
    low, high = np.percentile(defined, [2.5, 97.5])
    return float(low), float(high)
