"""95 % confidence intervals by the percentile bootstrap over images."""

from collections.abc import Iterator

import numpy as np

from petseg.evaluation.per_image import Counts, NamedScores, compute_scores, per_image_scores
from petseg.metrics import Scores, ratio

Intervals = dict[tuple[str, ...], tuple[float, float]]
"""Lower and upper bounds by score."""

# Scores are rounded to multiples of 1 / _SCALE: their sums are then exact in any order.
_SCALE = 2.0**30
_MAX_ELEMENTS = 10**7  # per array


def bootstrap_intervals(counts: Counts, num_samples: int) -> Intervals:
    """Return the 95 % confidence interval of each metric.

    Each bootstrap sample draws as many images as the split has, with replacement.
    """
    samples = _bootstrap(counts, num_samples)
    return {name: percentile_interval(values) for name, values in samples.items()}


def difference_intervals(baseline: Counts, candidate: Counts, num_samples: int) -> Intervals:
    """Return the 95 % confidence interval of each metric's difference, candidate - baseline.

    Both must hold the same images in the same order. Each sample draws the same images for both
    (a paired bootstrap), so the difficulty of the images cancels out.
    """
    before, after = _bootstrap(baseline, num_samples), _bootstrap(candidate, num_samples)
    return {name: percentile_interval(after[name] - values) for name, values in before.items()}


def percentile_interval(values: Scores) -> tuple[float, float]:
    """Return the bounds of the central 95 % of the defined values."""
    defined = values[~np.isnan(values)]
    if not len(defined):
        return np.nan, np.nan
    lower, upper = np.percentile(defined, [2.5, 97.5])
    return float(lower), float(upper)


def _bootstrap(counts: Counts, num_samples: int) -> NamedScores:
    """Return each metric (num_samples,) over the resampled images."""
    num_images = len(counts.confusion)
    chunk_size = max(1, _MAX_ELEMENTS // max(num_images, counts.confusion[0].size))
    per_image = {
        name: (np.rint(np.where(np.isnan(values), 0.0, values) * _SCALE), ~np.isnan(values))
        for name, values in per_image_scores(counts).items()
    }
    counts = counts.as_floats()  # once, not for every chunk
    samples: NamedScores = {}
    start = 0
    for weights in _sample_weights(num_images, num_samples, chunk_size):
        scores = compute_scores(counts.resample(weights))
        for name, (scaled, defined) in per_image.items():
            scores[name] = ratio(weights @ scaled, weights @ defined) / _SCALE
        for name, values in scores.items():
            samples.setdefault(name, np.empty(num_samples))[start : start + len(weights)] = values
        start += len(weights)
    return samples


def _sample_weights(num_images: int, num_samples: int, chunk_size: int) -> Iterator[Scores]:
    """Yield how often each sample draws each image, (up to chunk_size, num_images) at a time.

    The seed is fixed, so every run draws the same samples.
    """
    rng = np.random.default_rng(0)
    for start in range(0, num_samples, chunk_size):
        rows = min(chunk_size, num_samples - start)
        draws = (rng.integers(num_images, size=num_images) for _ in range(rows))
        yield np.stack([np.bincount(drawn, minlength=num_images) for drawn in draws]).astype(float)
