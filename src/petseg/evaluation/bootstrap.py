"""95 % confidence intervals by the percentile bootstrap over images."""

from collections.abc import Iterator

import numpy as np

from petseg.evaluation.per_image import Counts, NamedScores, compute_scores, per_image_scores
from petseg.metrics import Scores, ratio

Intervals = dict[tuple[str, ...], tuple[float, float]]
"""Lower and upper bounds of scores by name."""

_SCALE = (
    2.0**30
)  # scores are rounded to multiples of 1 / this, so that they add up to the same in any order
_MAX_NUMBERS = 10**7  # in an array of the bootstrap


def bootstrap_intervals(counts: Counts, draws: int) -> Intervals:
    """95 % confidence intervals (low, high) of the metrics, by the percentile bootstrap over pictures.

    The split's pictures are drawn from it as many times as there are, with replacement, so many times over.
    """
    return {name: percentile_interval(values) for name, values in _bootstrap(counts, draws).items()}


def difference_intervals(counts: Counts, others: Counts, draws: int) -> Intervals:
    """Likewise of how far the others' metrics lie above the first's; both are of the same pictures in the same order.

    Each draw takes the same pictures for both, so what is hard for both cancels out.
    """
    first, second = _bootstrap(counts, draws), _bootstrap(others, draws)
    return {name: percentile_interval(second[name] - values) for name, values in first.items()}


def _bootstrap(counts: Counts, draws: int) -> NamedScores:
    """The metrics (draws,) of the pictures drawn anew, the same ones on every run."""
    values: dict[tuple[str, ...], list[Scores]] = {}
    at_once = max(1, _MAX_NUMBERS // max(len(counts.confusion), counts.confusion[0].size))
    for times in _resampled(len(counts.confusion), draws, at_once):
        drawn = compute_scores(counts.resample(times))
        for name, each in per_image_scores(counts).items():
            defined = ~np.isnan(each)
            whole = np.rint(
                np.where(defined, each, 0.0) * _SCALE
            )  # which add up to the same in any order
            drawn[name] = ratio(times @ whole, times @ defined) / _SCALE
        for name, some in drawn.items():
            values.setdefault(name, []).append(some)
    return {name: np.concatenate(some) for name, some in values.items()}


def _resampled(pictures: int, draws: int, at_once: int) -> Iterator[Scores]:
    """How often each picture is drawn, (some draws, pictures) at a time; the same ones on every run."""
    rng = np.random.default_rng(0)
    for start in range(0, draws, at_once):
        chosen = (rng.integers(pictures, size=pictures) for _ in range(min(at_once, draws - start)))
        yield np.stack([np.bincount(each, minlength=pictures) for each in chosen]).astype(float)


def percentile_interval(values: Scores) -> tuple[float, float]:
    """The bounds between which 95 % of the defined values lie."""
    defined = values[~np.isnan(values)]
    if not len(defined):
        return np.nan, np.nan
    low, high = np.percentile(defined, [2.5, 97.5])
    return float(low), float(high)
