"""Scores against scikit-learn's, boundaries against SciPy's, intervals against what is known of them."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy.ndimage import binary_erosion
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, jaccard_score

from petseg.evaluation.bootstrap import bootstrap_intervals, difference_intervals
from petseg.evaluation.boundary import boundary_counts
from petseg.evaluation.per_image import Counts, compute_metrics, compute_scores
from petseg.evaluation.tables import (
    confusion_table,
    grouped_table,
    per_image_table,
    scores_table,
    summary_metrics,
)
from petseg.metrics import mean_iou
from support.metrics import without_edges

NAMES = ("pet", "background", "border")
PICTURES = 6


def blobs(rng, size=(60, 80)):
    """A mask with a round pet, its border, background, and some ignored pixels; and a prediction of it."""
    y, x = np.mgrid[: size[0], : size[1]]
    masks = []
    for _ in range(2):
        middle = [rng.uniform(0.3, 0.7) * side for side in size]
        distance = np.hypot(y - middle[0], x - middle[1]) - rng.uniform(0.15, 0.3) * min(size)
        masks.append(np.select([distance < -3, distance > 3], [0, 1], 2).astype(np.uint8))
    masks[0][:4, :5] = 255
    return masks


@pytest.fixture(scope="module")
def pictures():
    rng = np.random.default_rng(0)
    return [blobs(rng) for _ in range(PICTURES)]


@pytest.fixture(scope="module")
def counts(pictures):
    confusion = [
        confusion_matrix(truth.ravel(), predicted.ravel(), labels=[0, 1, 2, 255])[:3, :3]
        for truth, predicted in pictures
    ]
    boundary = [boundary_counts(truth, predicted, 3, 1) for truth, predicted in pictures]
    return Counts(NAMES, np.stack(confusion), np.stack(boundary))


def flat(pictures, keep=lambda truth: truth != 255):
    """The kept pixels of all pictures in a row: truth and prediction."""
    return tuple(
        np.concatenate([pair[i][keep(pair[0])] for pair in pictures])
        for i in range(2)
    )  # fmt: skip


def test_three_class_scores_are_scikit_learn_s(pictures, counts):
    truth, predicted = flat(pictures)
    metrics = summary_metrics(compute_metrics(counts), bootstrap_intervals(counts, 2))
    assert metrics["mean_iou"] == pytest.approx(
        jaccard_score(truth, predicted, average="macro"), abs=1e-6
    )
    assert list(metrics["iou"].values()) == pytest.approx(
        jaccard_score(truth, predicted, average=None), abs=1e-6
    )
    assert metrics["frequency_weighted_iou"] == pytest.approx(
        jaccard_score(truth, predicted, average="weighted"), abs=1e-6
    )
    assert metrics["pixel_accuracy"] == pytest.approx(accuracy_score(truth, predicted), abs=1e-6)
    assert metrics["mean_dice"] == pytest.approx(
        f1_score(truth, predicted, average="macro"), abs=1e-6
    )
    table = scores_table(
        {"test": (compute_metrics(counts), bootstrap_intervals(counts, 2))}
    ).set_index("metric")
    by_class = [table.loc[f"dice.{name}"]["value"] for name in NAMES]
    assert by_class == pytest.approx(f1_score(truth, predicted, average=None), abs=1e-6)


def test_binary_scores_are_scikit_learn_s(pictures, counts):
    metrics = compute_metrics(counts)
    for name, keep in (
        ("foreground_iou", lambda truth: truth != 255),
        ("foreground_iou_border_ignored", lambda truth: truth < 2),
    ):
        truth, predicted = flat(pictures, keep)
        assert metrics[(name,)] == pytest.approx(jaccard_score(truth != 1, predicted != 1))
        each = [flat([pair], keep) for pair in pictures]
        assert metrics[(f"{name}_per_image",)] == pytest.approx(
            np.mean([jaccard_score(t != 1, p != 1) for t, p in each])
        )


def boundary_by_scipy(region, distance):
    """As the paper's own code does it: erode with a 3 x 3 square, `distance` times, in a frame of zeros."""
    framed = np.pad(region, 1)
    eroded = binary_erosion(framed, np.ones((3, 3)), iterations=distance)
    return region & ~eroded[1:-1, 1:-1]


@pytest.mark.parametrize("size", [(60, 80), (33, 200), (500, 375), (9, 9)])
def test_boundaries_are_those_of_the_paper(size):
    rng = np.random.default_rng(1)
    truth, predicted = blobs(rng, size)
    distance = max(1, round(0.02 * math.hypot(*size)))
    hidden = np.where(truth == 255, 255, predicted)
    expected = []
    for inside in (
        lambda m: m == 0,
        lambda m: m == 1,
        lambda m: m == 2,
        lambda m: (m == 0) | (m == 2),
    ):
        a, b = (boundary_by_scipy(inside(mask), distance) for mask in (truth, hidden))
        expected.append([np.sum(a & b), np.sum(a | b)])
    assert boundary_counts(truth, predicted, 3, 1).tolist() == expected
    assert boundary_counts(truth, predicted, 3, None).tolist() == expected[:3]


@pytest.mark.parametrize("classes", [1, 2, 7, 8, 33, 64, 254])
def test_any_number_of_classes_has_boundaries(classes):
    """Pixels of as many classes as there may be, in small blocks, each class judged as if it were the only one."""
    rng = np.random.default_rng(classes)
    truth, predicted = (
        np.kron(rng.integers(0, classes, (12, 16), np.uint8), np.ones((5, 5), np.uint8))
        for _ in range(2)
    )
    truth[:7, :9] = 255
    hidden = np.where(truth == 255, 255, predicted)
    counted = boundary_counts(truth, predicted, classes, 0)
    assert counted.shape == (classes + 1, 2)
    regions = [
        *((truth == label, hidden == label) for label in range(classes)),
        (truth % 255 > 0, hidden % 255 > 0),
    ]
    for found, pair in zip(counted.tolist(), regions, strict=True):
        a, b = (boundary_by_scipy(region, 2) for region in pair)
        assert found == [np.sum(a & b), np.sum(a | b)]


def test_a_boundary_score_sees_what_the_inside_hides(counts):
    """A pet of 100 x 100 pixels, predicted a pixel too small all around: 0.96 of its area, less of its edge."""
    truth, predicted = np.ones((2, 200, 200), np.uint8)
    truth[50:150, 50:150] = 0
    predicted[51:149, 51:149] = 0
    both, either = boundary_counts(truth, predicted, 3, 1)[0]
    width = round(0.02 * np.hypot(200, 200))
    ring = 100**2 - (100 - 2 * width) ** 2
    shared = 98**2 - (100 - 2 * width) ** 2
    assert (both, either) == (shared, ring + (98**2 - (98 - 2 * width) ** 2) - shared)
    assert both / either < 0.75 < 0.96 < 98**2 / 100**2 + 0.0004


def test_undefined_scores_are_null_and_classes_are_nested():
    empty = without_edges(np.zeros((2, 3, 3), np.int64), NAMES)
    intervals = bootstrap_intervals(empty, 3)
    metrics = summary_metrics(compute_metrics(empty), intervals)
    assert metrics["mean_iou"] is None
    assert metrics["iou"] == {"pet": None, "background": None, "border": None}
    assert metrics["mean_boundary_iou"] is None
    assert metrics["mean_iou_ci95"] == {"low": None, "high": None}
    assert scores_table({"val": (compute_metrics(empty), intervals)}).loc[0].isna().tolist() == [
        False,
        False,
        *[True] * 3,
    ]


def test_without_a_background_there_is_no_binary_score(counts):
    other = Counts(("a", "b", "c"), counts.confusion, counts.boundary[:, :3])
    assert not [name for name in compute_metrics(other) if name[0].startswith("binary")]
    assert not [name for name in bootstrap_intervals(other, 2) if name[0].startswith("binary")]
    without_border = Counts(("pet", "background", "nose"), counts.confusion, counts.boundary)
    binary = [name[0] for name in compute_metrics(without_border) if name[0].startswith("binary")]
    assert binary == ["foreground_iou", "foreground_boundary_iou", "foreground_iou_per_image"]


def test_an_interval_is_that_of_the_mean():
    """Pictures of 100 pixels each, so that accuracy is a mean over pictures, whose standard error is known."""
    rng = np.random.default_rng(3)
    right = rng.integers(60, 100, size=400)
    matrices = np.zeros((400, 3, 3), np.int64)
    matrices[:, 0, 0], matrices[:, 0, 1] = right, 100 - right
    counts = without_edges(matrices, NAMES)
    intervals = bootstrap_intervals(counts, 4000)
    mean, error = right.mean() / 100, right.std() / 100 / np.sqrt(400)
    for name in ("pixel_accuracy", "foreground_iou_per_image"):
        assert intervals[(name,)] == pytest.approx(
            (mean - 1.96 * error, mean + 1.96 * error), abs=0.0006
        )
    assert bootstrap_intervals(counts, 4000) == intervals


def test_the_interval_of_a_difference_is_that_of_the_same_pictures():
    """The second model has 2 pixels of 100 more right in each picture, or one: the pictures' own spread cancels out."""
    rng = np.random.default_rng(3)
    right = rng.integers(60, 98, size=400)
    more = rng.integers(1, 3, size=400)

    def counts_of(correct):
        matrices = np.zeros((400, 3, 3), np.int64)
        matrices[:, 0, 0], matrices[:, 0, 1] = correct, 100 - correct
        return without_edges(matrices, NAMES)

    first, second = counts_of(right), counts_of(right + more)
    low, high = difference_intervals(first, second, 4000)[("pixel_accuracy",)]
    mean, error = more.mean() / 100, more.std() / 100 / np.sqrt(400)
    assert (low, high) == pytest.approx((mean - 1.96 * error, mean + 1.96 * error), abs=1e-4)
    assert difference_intervals(second, first, 4000)[("pixel_accuracy",)] == pytest.approx(
        (-high, -low)
    )
    apart = bootstrap_intervals(first, 4000)[("pixel_accuracy",)]
    assert high - low < (apart[1] - apart[0]) / 10
    assert difference_intervals(first, first, 50)[("mean_iou",)] == (0, 0)


def test_an_interval_doesn_t_depend_on_how_many_draws_are_made_at_once(counts, monkeypatch):
    whole = bootstrap_intervals(counts, 50)
    monkeypatch.setattr("petseg.evaluation.per_image._NUMBERS", 30)
    for name, bounds in bootstrap_intervals(counts, 50).items():
        assert bounds == pytest.approx(whole[name])


def test_a_draw_is_the_sum_over_its_pictures(counts):
    times = np.array([[2, 0, 1, 0, 0, 3]])
    taken = np.repeat(np.arange(PICTURES), times[0])
    drawn, summed = (
        compute_scores(counts.drawn(times.astype(float))),
        compute_scores(counts.at(taken).total()),
    )
    for name, value in summed.items():
        assert drawn[name][0] == pytest.approx(value)


def test_tables(counts):
    pictures = pd.DataFrame(
        {
            "file_name": list("fedcba"),
            "breed": ["pug", "pug", "boxer", "boxer", "bengal", "bengal"],
            "species": ["dog"] * 4 + ["cat"] * 2,
        }
    )
    images = per_image_table(pictures, counts)
    assert images["mean_iou"].is_monotonic_increasing
    one = images.set_index("file_name").loc["d"]
    assert one["mean_iou"] == pytest.approx(float(mean_iou(counts.confusion[2])), abs=1e-6)
    edges = counts.boundary[2, :3]
    assert one["mean_boundary_iou"] == pytest.approx(np.mean(edges[:, 0] / edges[:, 1]), abs=1e-6)
    breeds = grouped_table(pictures, counts, ["species", "breed"])
    assert breeds["pictures"].tolist() == [2, 2, 2]
    assert breeds.set_index("breed").loc["pug", "mean_iou"] == pytest.approx(
        float(mean_iou(counts.confusion[:2].sum(0))), abs=1e-6
    )
    species = grouped_table(pictures, counts, ["species"]).set_index("species")
    assert species["pictures"].to_dict() == {"dog": 4, "cat": 2}
    total = counts.total().confusion
    table = confusion_table(total, NAMES).set_index(["truth", "prediction"])
    assert table.loc[("border", "background"), "pixels"] == total[2, 1]
    assert table.groupby("truth")["share"].sum().tolist() == pytest.approx([1, 1, 1], abs=1e-5)
