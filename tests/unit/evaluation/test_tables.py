"""The metrics files' content and the tables."""

import numpy as np
import pandas as pd
import pytest

from petseg.evaluation.bootstrap import bootstrap_intervals
from petseg.evaluation.per_image import compute_metrics
from petseg.evaluation.tables import (
    confusion_table,
    grouped_table,
    per_image_table,
    scores_table,
    summary_metrics,
    write_table,
)
from petseg.metrics import mean_iou
from support.blobs import NAMES
from support.metrics import without_edges

IMAGES = pd.DataFrame(
    {
        "file_name": list("fedcba"),
        "category": ["pug", "pug", "boxer", "boxer", "bengal", "bengal"],
        "supercategory": ["dog"] * 4 + ["cat"] * 2,
    }
)


def test_the_summary_nests_classes_and_has_the_interval_of_the_mean_iou(counts):
    metrics, intervals = compute_metrics(counts), bootstrap_intervals(counts, 20)
    summary = summary_metrics(metrics, intervals)
    assert list(summary) == [
        "mean_iou",
        "iou",
        "pixel_accuracy",
        "mean_dice",
        "frequency_weighted_iou",
        "mean_boundary_iou",
        "foreground_iou",
        "foreground_iou_per_image",
        "mean_iou_ci95",
    ]
    assert summary["iou"] == {name: round(float(metrics[("iou", name)]), 6) for name in NAMES}
    lower, upper = intervals[("mean_iou",)]
    assert summary["mean_iou_ci95"] == {"lower": round(lower, 6), "upper": round(upper, 6)}


def test_undefined_scores_are_null_and_empty():
    empty = without_edges(np.zeros((2, 3, 3), np.int64), NAMES)
    metrics, intervals = compute_metrics(empty), bootstrap_intervals(empty, 3)
    summary = summary_metrics(metrics, intervals)
    assert summary["mean_iou"] is None
    assert summary["iou"] == {"pet": None, "background": None, "border": None}
    assert summary["mean_boundary_iou"] is None
    assert summary["mean_iou_ci95"] == {"lower": None, "upper": None}
    table = scores_table({"val": (metrics, intervals)})
    assert table[["value", "ci95_lower", "ci95_upper"]].isna().all(axis=None)


def test_the_table_of_scores_has_every_metric_of_each_split(counts):
    scores = compute_metrics(counts), bootstrap_intervals(counts, 20)
    table = scores_table({"val": scores, "test": scores}).set_index(["split", "metric"])
    for split in ("val", "test"):
        assert set(table.loc[split].index) == {".".join(name) for name in scores[0]}
        row = table.loc[(split, "boundary_iou.border")]
        assert row["value"] == pytest.approx(scores[0][("boundary_iou", "border")], abs=1e-6)
        interval = scores[1][("boundary_iou", "border")]
        assert (row["ci95_lower"], row["ci95_upper"]) == pytest.approx(interval, abs=1e-6)


def test_the_table_of_images_starts_with_the_worst(counts):
    table = per_image_table(IMAGES, counts)
    assert table["mean_iou"].is_monotonic_increasing
    row = table.set_index("file_name").loc["d"]
    assert row["mean_iou"] == pytest.approx(float(mean_iou(counts.confusion[2])), abs=1e-6)
    edges = counts.boundary[2, :3]
    assert row["mean_boundary_iou"] == pytest.approx(np.mean(edges[:, 0] / edges[:, 1]), abs=1e-6)


def test_names_with_quotes_commas_and_other_scripts_survive_a_round_trip(tmp_path):
    names = ['the "cat\'s".png', "one, two.png", "猫.png"]
    images = pd.DataFrame({"file_name": names, "category": "pug", "supercategory": "dog"})
    counts = without_edges(np.tile(np.diag([3, 2, 1]), (3, 1, 1)), ("a", "b", "c"))
    write_table(tmp_path / "table.csv", per_image_table(images, counts))
    assert sorted(pd.read_csv(tmp_path / "table.csv")["file_name"]) == sorted(names)


def test_a_group_is_scored_over_all_its_pixels(counts):
    categories = grouped_table(IMAGES, counts, ["supercategory", "category"])
    assert categories["images"].tolist() == [2, 2, 2]
    assert categories.set_index("category").loc["pug", "mean_iou"] == pytest.approx(
        float(mean_iou(counts.confusion[:2].sum(0))), abs=1e-6
    )
    supercategories = grouped_table(IMAGES, counts, ["supercategory"])
    by_name = supercategories.set_index("supercategory")["images"]
    assert by_name.to_dict() == {"dog": 4, "cat": 2}


def test_the_confusion_table_has_shares_of_each_true_class(counts):
    total = counts.total().confusion
    table = confusion_table(total, NAMES).set_index(["truth", "prediction"])
    assert table.loc[("border", "background"), "pixels"] == total[2, 1]
    assert table.loc[("border", "background"), "pair"] == "border as background"
    assert table.groupby("truth")["share"].sum().tolist() == pytest.approx([1, 1, 1], abs=1e-5)
