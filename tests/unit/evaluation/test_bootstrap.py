"""Confidence intervals compared with known standard errors."""

import numpy as np
import pytest

from petseg.evaluation.bootstrap import bootstrap_intervals, difference_intervals
from petseg.evaluation.per_image import Counts
from support.blobs import NAMES
from support.metrics import without_edges


def counts_with_correct(correct):
    """Return counts of images of 100 pixels of a pet each, of which so many are correct."""
    matrices = np.zeros((len(correct), 3, 3), np.int64)
    matrices[:, 0, 0], matrices[:, 0, 1] = correct, 100 - correct
    return without_edges(matrices, NAMES)


def normal_interval(values):
    """Return the 95 % confidence interval of the mean of many values."""
    error = 1.96 * values.std() / np.sqrt(len(values))
    return values.mean() - error, values.mean() + error


def test_the_interval_of_a_mean_matches_its_standard_error():
    correct = np.random.default_rng(3).integers(60, 100, size=400)
    counts = counts_with_correct(correct)
    intervals = bootstrap_intervals(counts, 4000)
    for name in ("pixel_accuracy", "foreground_iou_per_image"):
        assert intervals[(name,)] == pytest.approx(normal_interval(correct / 100), abs=0.0006)
    assert bootstrap_intervals(counts, 4000) == intervals


def test_the_interval_of_a_difference_is_paired():
    """The candidate has one or two more correct pixels in each image; the images' spread cancels out."""
    rng = np.random.default_rng(3)
    correct, more = rng.integers(60, 98, size=400), rng.integers(1, 3, size=400)
    baseline, candidate = counts_with_correct(correct), counts_with_correct(correct + more)
    key = ("pixel_accuracy",)
    lower, upper = difference_intervals(baseline, candidate, 4000)[key]
    assert (lower, upper) == pytest.approx(normal_interval(more / 100), abs=1e-4)
    reversed_interval = difference_intervals(candidate, baseline, 4000)[key]
    assert reversed_interval == pytest.approx((-upper, -lower))
    alone = bootstrap_intervals(baseline, 4000)[key]
    assert upper - lower < (alone[1] - alone[0]) / 10
    assert difference_intervals(baseline, baseline, 50)[("mean_iou",)] == (0, 0)


def test_intervals_do_not_depend_on_the_chunk_size(counts, monkeypatch):
    whole = bootstrap_intervals(counts, 50)
    monkeypatch.setattr("petseg.evaluation.bootstrap._MAX_ELEMENTS", 30)
    chunked = bootstrap_intervals(counts, 50)
    assert chunked.keys() == whole.keys()
    for name, bounds in chunked.items():
        assert bounds == pytest.approx(whole[name])


def test_counts_are_converted_once_for_all_chunks(counts, monkeypatch):
    seen, resample = [], Counts.resample

    def record(counts, weights):
        seen.append(counts.confusion)
        return resample(counts, weights)

    monkeypatch.setattr(Counts, "resample", record)
    monkeypatch.setattr("petseg.evaluation.bootstrap._MAX_ELEMENTS", 30)
    bootstrap_intervals(counts, 50)
    assert len(seen) > 1
    assert len({id(confusion) for confusion in seen}) == 1
    assert seen[0].dtype == np.float64


def test_without_a_background_there_are_no_foreground_intervals(counts):
    other = Counts(("a", "b", "c"), counts.confusion, counts.boundary[:, :3])
    names = {name[0] for name in bootstrap_intervals(other, 2)}
    assert not {name for name in names if name.startswith("foreground")}
