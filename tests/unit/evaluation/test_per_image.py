"""Scores compared with scikit-learn's."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, jaccard_score

from petseg.evaluation.per_image import Counts, compute_metrics, compute_scores
from support.blobs import NAMES
from support.metrics import without_edges


def flat(pairs, keep=lambda truth: truth != 255):
    """Return the kept pixels of all images in a row: truth and prediction."""
    return tuple(np.concatenate([pair[i][keep(pair[0])] for pair in pairs]) for i in range(2))


def test_scores_of_three_classes_match_scikit_learn(pairs, counts):
    truth, predicted = flat(pairs)
    metrics = compute_metrics(counts)
    for name, function, average in (
        ("mean_iou", jaccard_score, "macro"),
        ("frequency_weighted_iou", jaccard_score, "weighted"),
        ("mean_dice", f1_score, "macro"),
    ):
        assert metrics[(name,)] == pytest.approx(function(truth, predicted, average=average))
    assert metrics[("pixel_accuracy",)] == pytest.approx(accuracy_score(truth, predicted))
    for name, function in (("iou", jaccard_score), ("dice", f1_score)):
        by_class = [float(metrics[(name, class_name)]) for class_name in NAMES]
        assert by_class == pytest.approx(function(truth, predicted, average=None))


@pytest.mark.parametrize(
    ("name", "keep"),
    [
        ("foreground_iou", lambda truth: truth != 255),
        ("foreground_iou_border_ignored", lambda truth: truth < 2),
    ],
)
def test_foreground_scores_match_scikit_learn(pairs, counts, name, keep):
    metrics = compute_metrics(counts)
    truth, predicted = flat(pairs, keep)
    assert metrics[(name,)] == pytest.approx(jaccard_score(truth != 1, predicted != 1))
    per_image = [flat([pair], keep) for pair in pairs]
    assert metrics[(f"{name}_per_image",)] == pytest.approx(
        np.mean([jaccard_score(truth != 1, predicted != 1) for truth, predicted in per_image])
    )


def test_without_a_background_there_are_no_foreground_scores(counts):
    def foreground(names, boundary):
        metrics = compute_metrics(Counts(names, counts.confusion, boundary))
        return [name[0] for name in metrics if name[0].startswith("foreground")]

    assert foreground(("a", "b", "c"), counts.boundary[:, :3]) == []
    assert foreground(("pet", "background", "nose"), counts.boundary) == [
        "foreground_iou",
        "foreground_boundary_iou",
        "foreground_iou_per_image",
    ]


def test_scores_of_no_pixels_are_nan():
    metrics = compute_metrics(without_edges(np.zeros((2, 3, 3), np.int64), NAMES))
    assert all(np.isnan(value) for value in metrics.values())


def test_a_resample_is_the_sum_over_its_images(counts):
    weights = np.array([[2, 0, 1, 0, 0, 3]])
    drawn = np.repeat(np.arange(6), weights[0])
    resampled = compute_scores(counts.resample(weights.astype(float)))
    for name, value in compute_scores(counts.select(drawn).total()).items():
        assert resampled[name][0] == pytest.approx(value)
