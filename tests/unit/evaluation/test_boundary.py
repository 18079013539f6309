"""Boundaries compared with SciPy's erosion."""

import math

import numpy as np
import pytest
from scipy.ndimage import binary_erosion

from petseg.evaluation.boundary import boundary_counts
from support.blobs import draw_blobs


def scipy_boundary(region, distance):
    """Do as the paper's own code does: erode `distance` times by a 3 x 3 square, in a frame of zeros."""
    framed = np.pad(region, 1)
    eroded = binary_erosion(framed, np.ones((3, 3)), iterations=distance)
    return region & ~eroded[1:-1, 1:-1]


def scipy_counts(truth, predicted, distance, regions):
    """Count intersection and union for each region, a function of a mask."""
    hidden = np.where(truth == 255, 255, predicted)
    counts = []
    for region in regions:
        a, b = (scipy_boundary(region(mask), distance) for mask in (truth, hidden))
        counts.append([np.sum(a & b), np.sum(a | b)])
    return counts


@pytest.mark.parametrize("size", [(60, 80), (33, 200), (500, 375), (9, 9)])
def test_boundaries_match_the_paper(size):
    truth, predicted = draw_blobs(np.random.default_rng(1), size)
    distance = max(1, round(0.02 * math.hypot(*size)))
    regions = [
        lambda mask: mask == 0,
        lambda mask: mask == 1,
        lambda mask: mask == 2,
        lambda mask: (mask == 0) | (mask == 2),
    ]
    expected = scipy_counts(truth, predicted, distance, regions)
    assert boundary_counts(truth, predicted, 3, 1).tolist() == expected
    assert boundary_counts(truth, predicted, 3, None).tolist() == expected[:3]


@pytest.mark.parametrize("size", [(60, 80), (200, 33), (500, 375)])
def test_a_large_image_is_counted_in_parts(monkeypatch, size):
    truth, predicted = draw_blobs(np.random.default_rng(2), size)
    expected = boundary_counts(truth, predicted, 3, 1)
    monkeypatch.setattr("petseg.evaluation.boundary._PIXELS_AT_ONCE", 1)
    np.testing.assert_array_equal(boundary_counts(truth, predicted, 3, 1), expected)


@pytest.mark.parametrize("num_classes", [1, 2, 7, 8, 33, 64, 254])
def test_boundaries_work_for_any_number_of_classes(num_classes):
    """Each class of a mosaic of blocks is counted as if it were the only one."""
    rng = np.random.default_rng(num_classes)
    truth, predicted = (
        np.kron(rng.integers(0, num_classes, (12, 16), np.uint8), np.ones((5, 5), np.uint8))
        for _ in range(2)
    )
    truth[:7, :9] = 255
    regions = [lambda mask, label=label: mask == label for label in range(num_classes)]
    regions.append(lambda mask: mask % 255 > 0)
    counts = boundary_counts(truth, predicted, num_classes, 0)
    assert counts.shape == (num_classes + 1, 2)
    assert counts.tolist() == scipy_counts(truth, predicted, 2, regions)


def test_boundary_iou_reveals_a_poor_outline():
    """A pet of 100 x 100 pixels, predicted one pixel too small: 0.96 of its area, less of its edge."""
    truth, predicted = np.ones((2, 200, 200), np.uint8)
    truth[50:150, 50:150] = 0
    predicted[51:149, 51:149] = 0
    intersection, union = boundary_counts(truth, predicted, 3, 1)[0]
    width = round(0.02 * np.hypot(200, 200))
    true_ring = 100**2 - (100 - 2 * width) ** 2
    predicted_ring = 98**2 - (98 - 2 * width) ** 2
    shared = 98**2 - (100 - 2 * width) ** 2
    assert (intersection, union) == (shared, true_ring + predicted_ring - shared)
    assert intersection / union < 0.75 < 0.96 <= 98**2 / 100**2
