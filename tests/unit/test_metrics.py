"""Confusion matrices and scores computed by hand, and exact counts of many pixels."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from petseg.evaluation.bootstrap import bootstrap_intervals
from petseg.evaluation.per_image import compute_metrics
from petseg.evaluation.tables import confusion_table, grouped_table, summary_metrics
from petseg.metrics import (
    accuracy,
    count_confusion,
    count_labels,
    dice,
    foreground_iou,
    frequency_weighted_iou,
    iou,
    mask_true_class,
    mean_iou,
)
from support.metrics import without_edges

# Truth and prediction by hand: class 2 is absent from both, two pixels are ignored.
TRUTH = np.array([[[0, 0, 0, 1], [0, 1, 1, 255], [3, 3, 255, 1]]], np.uint8)
PREDICTED = np.array([[[0, 0, 1, 1], [3, 1, 1, 0], [3, 1, 2, 0]]], np.uint8)
BY_HAND = np.array([[2, 1, 0, 1], [1, 3, 0, 0], [0, 0, 0, 0], [0, 1, 0, 1]])
NAMES = ("pet", "background", "nothing", "border")


def count(truth, predicted, num_classes=4):
    return count_confusion(truth, np.eye(num_classes, dtype=np.float32)[predicted]).numpy()


def test_the_matrix_matches_one_computed_by_hand():
    matrix = count(TRUTH, PREDICTED)
    assert matrix.dtype == np.int64
    assert np.array_equal(matrix, BY_HAND[None])


def test_scores_match_hand_computed_ones_and_an_absent_class_is_undefined():
    assert iou(BY_HAND) == pytest.approx([2 / 5, 3 / 6, np.nan, 1 / 3], nan_ok=True)
    assert dice(BY_HAND) == pytest.approx([4 / 7, 6 / 9, np.nan, 2 / 4], nan_ok=True)
    assert mean_iou(BY_HAND) == pytest.approx(np.mean([2 / 5, 3 / 6, 1 / 3]))
    assert accuracy(BY_HAND) == pytest.approx(6 / 10)
    # not background: truth 6 pixels, prediction 5 of the counted ones, 4 in both
    assert foreground_iou(BY_HAND, background=1) == pytest.approx(4 / 7)
    # the same where the truth is not class 3: truth 4 pixels, prediction 4, 3 in both
    assert foreground_iou(mask_true_class(BY_HAND, 3), background=1) == pytest.approx(3 / 5)
    assert frequency_weighted_iou(BY_HAND) == pytest.approx(
        (4 * 2 / 5 + 4 * 3 / 6 + 2 * 1 / 3) / 10
    )


def test_scores_of_no_pixels_are_undefined():
    empty = np.zeros((4, 4), np.int64)
    assert np.isnan(mean_iou(empty))
    assert np.isnan(accuracy(empty))
    assert np.isnan(frequency_weighted_iou(empty))


def test_counts_are_exact_beyond_float32_and_int32():
    large = np.array([[2**33 + 1, 1], [0, 2**33]], np.int64)
    assert iou(large)[0] == (2**33 + 1) / (2**33 + 2)
    total = np.stack([large] * 3).sum(0)
    assert total[0, 0] == 3 * (2**33 + 1)


def test_every_pixel_of_a_large_image_is_counted():
    truth = np.ones((1, 2048, 2048), np.uint8)
    truth[0, 0, :7] = 0
    assert np.array_equal(count(truth, truth, 2)[0], [[7, 0], [0, 2048 * 2048 - 7]])


def test_masks_of_any_size_are_counted_exactly():
    """Counts in float32 would lose pixels above 2**24."""
    truth = np.zeros((1, 20_000_004), np.uint8)
    predicted = np.zeros_like(truth)
    truth[0, :3], predicted[0, 0], predicted[0, 5] = (255, 1, 1), 1, 1
    assert np.array_equal(
        count_labels(truth, predicted, 3), [[20_000_000, 1, 0], [2, 0, 0], [0, 0, 0]]
    )
    assert count_labels(truth, predicted, 3).dtype == np.int64


def test_a_large_mask_is_counted_in_parts(monkeypatch):
    truth, predicted = np.random.default_rng(0).integers(0, 3, (2, 50, 40), np.uint8)
    truth[:9, :7] = 255
    expected = count_labels(truth, predicted, 3)
    monkeypatch.setattr("petseg.metrics._PIXELS_AT_ONCE", 130)
    assert np.array_equal(count_labels(truth, predicted, 3), expected)


@given(st.integers(0, 2**32 - 1))
def test_both_functions_count_the_same(number):
    rng = np.random.default_rng(number)
    truth, predicted = (
        rng.choice([0, 1, 2, 255], (5, 7)).astype(np.uint8),
        rng.integers(0, 3, (5, 7)).astype(np.uint8),
    )
    assert np.array_equal(
        count_labels(truth, predicted, 3), count(truth[None], predicted[None], 3)[0]
    )


def test_more_than_two_to_the_31_pixels_do_not_overflow():
    """4,000 images of 2,048 x 2,048 pixels, 16.8 billion in all, given as counts."""
    rng = np.random.default_rng(0)
    matrices = rng.multinomial(2048**2, rng.dirichlet(np.ones(9), 4000)[0], size=4000).reshape(
        4000, 3, 3
    )
    # Python's integers don't overflow.
    exact = [[sum(int(matrix[i, j]) for matrix in matrices) for j in range(3)] for i in range(3)]
    total = sum(map(sum, exact))
    assert total == 4000 * 2048**2 > 2**33
    names = ("pet", "background", "border")
    counts = without_edges(matrices, names)
    metrics = summary_metrics(compute_metrics(counts), bootstrap_intervals(counts, 2))
    correct = [exact[i][i] for i in range(3)]
    unions = [sum(exact[i]) + sum(row[i] for row in exact) - correct[i] for i in range(3)]
    assert [metrics["iou"][name] for name in names] == pytest.approx(
        [pixels / union for pixels, union in zip(correct, unions, strict=True)], abs=1e-6
    )
    assert metrics["pixel_accuracy"] == pytest.approx(sum(correct) / total, abs=1e-6)
    table = confusion_table(matrices.sum(axis=0), names)
    assert list(table["pixels"]) == [count for row in exact for count in row]
    images = pd.DataFrame({"file_name": map(str, range(4000)), "category": "pug"})
    assert grouped_table(images, counts, ["category"])["pixel_accuracy"][0] == pytest.approx(
        sum(correct) / total, abs=1e-6
    )
