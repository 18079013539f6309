"""The stage evaluate: from the val and test shards and a model to the metrics and the tables."""

import json
from pathlib import Path
from typing import Any

import pandas as pd

from petseg.config.params import EvaluateParams
from petseg.config.paths import PipelinePaths
from petseg.core.atomic_io import atomic_write
from petseg.evaluation.bootstrap import bootstrap_intervals
from petseg.evaluation.boundary import boundary_counts
from petseg.evaluation.per_image import Counts, compute_metrics, stack_counts
from petseg.evaluation.tables import (
    confusion_table,
    grouped_table,
    per_image_table,
    scores_table,
    summary_metrics,
    write_table,
)
from petseg.model.saved import SavedModel, load_model
from petseg.prediction.predict import Prediction, predict_split
from petseg.shards.manifest import Manifest, read_manifest


def evaluate(params: EvaluateParams, paths: PipelinePaths) -> None:
    """Score the validation part and the whole test split, and write everything. Raises PetsegError."""
    manifest, saved = read_manifest(paths.shards), load_model(paths.model)
    _, val = score_split(params, saved, paths.shards, manifest, "val")
    pictures, test = score_split(params, saved, paths.shards, manifest, "test")
    scores = {
        split: (compute_metrics(counts), bootstrap_intervals(counts, params.bootstrap_samples))
        for split, counts in (("val", val), ("test", test))
    }
    for metrics_file, content in (
        (
            paths.val_metrics,
            {"val": summary_metrics(*scores["val"])},
        ),  # DVC shows metrics without their file's name
        (paths.test_metrics, summary_metrics(*scores["test"])),
    ):
        atomic_write(metrics_file, json.dumps(content, indent=2) + "\n")
    for table_file, table in (
        (paths.scores, scores_table(scores)),
        (paths.per_image, per_image_table(pictures, test)),
        (paths.per_category, grouped_table(pictures, test, ["supercategory", "category"])),
        (paths.per_supercategory, grouped_table(pictures, test, ["supercategory"])),
        (paths.confusion, confusion_table(test.total().confusion, manifest.class_names)),
    ):
        write_table(table_file, table)


def score_split(
    params: EvaluateParams, saved: SavedModel, shards_dir: Path, manifest: Manifest, split: str
) -> tuple[pd.DataFrame, Counts]:
    """file_name, category and supercategory of a split's pictures, and what is counted in each.

    Every pixel is in one count or labelled "ignore"; a label out of range is an error (see `parse_pixels`).
    """
    rows: list[dict[str, Any]] = []
    counts: list[Counts] = []
    for prediction in predict_split(
        saved,
        shards_dir,
        manifest,
        split,
        params.batch_size,
        params.tta,
        params.resolution == "original",
    ):
        rows.append(
            {key: getattr(prediction, key) for key in ("file_name", "category", "supercategory")}
        )
        counts.append(count_image(prediction, manifest))
    return pd.DataFrame(rows), stack_counts(counts)


def count_image(prediction: Prediction, manifest: Manifest) -> Counts:
    """What all scores of one picture follow from."""
    names = manifest.class_names
    edges = boundary_counts(prediction.mask, prediction.predicted, len(names), manifest.background)
    return Counts(names, prediction.confusion, edges)
