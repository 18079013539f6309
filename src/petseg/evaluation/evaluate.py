"""The stage evaluate: from the val and test shards and a model to the metrics and the tables."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from petseg.backups import discard_finished
from petseg.evaluation.boundary import boundary_counts
from petseg.evaluation.predict import Prediction, predict_split
from petseg.evaluation.scores import Counts, intervals_of, metrics_of, stacked
from petseg.evaluation.tables import (
    confusion_table,
    grouped_table,
    headline,
    per_image_table,
    scores_table,
    write_table,
)
from petseg.files import write_whole
from petseg.model.saved import SavedModel, load_model
from petseg.params import EvaluateParams
from petseg.records.manifest import Manifest, read_manifest


@dataclass(frozen=True)
class EvaluateOuts:
    """Where the stage's outs go."""

    val_metrics: Path
    metrics: Path
    scores: Path
    per_image: Path
    per_breed: Path
    per_species: Path
    confusion: Path


def evaluate(params: EvaluateParams, records_dir: Path, model_dir: Path, outs: EvaluateOuts) -> None:
    """Score the validation part and the whole test split, and write everything. Raises PetsegError.

    By now DVC should have put the trained model into its cache: if it has, the training's backup goes.
    """
    manifest, saved = read_manifest(records_dir), load_model(model_dir)
    _, val = score_split(params, saved, records_dir, manifest, "val")
    pictures, test = score_split(params, saved, records_dir, manifest, "test")
    scores = {
        split: (metrics_of(counts), intervals_of(counts, params.bootstrap_draws))
        for split, counts in (("val", val), ("test", test))
    }
    for metrics_file, content in (
        (outs.val_metrics, {"val": headline(*scores["val"])}),  # DVC shows metrics without their file's name
        (outs.metrics, headline(*scores["test"])),
    ):
        write_whole(metrics_file, json.dumps(content, indent=2) + "\n")
    for table_file, table in (
        (outs.scores, scores_table(scores)),
        (outs.per_image, per_image_table(pictures, test)),
        (outs.per_breed, grouped_table(pictures, test, ["species", "breed"])),
        (outs.per_species, grouped_table(pictures, test, ["species"])),
        (outs.confusion, confusion_table(test.total().confusion, manifest.class_names)),
    ):
        write_table(table_file, table)
    discard_finished(model_dir)


def score_split(
    params: EvaluateParams, saved: SavedModel, records_dir: Path, manifest: Manifest, split: str
) -> tuple[pd.DataFrame, Counts]:
    """file_name, breed and species of a split's pictures, and what is counted in each.

    Every pixel is in one count or labelled "ignore"; a label out of range is an error (see `parse_pixels`).
    """
    rows: list[dict[str, Any]] = []
    counts: list[Counts] = []
    for prediction in predict_split(
        saved, records_dir, manifest, split, params.batch_size, params.tta, params.resolution == "original"
    ):
        rows.append({key: getattr(prediction, key) for key in ("file_name", "breed", "species")})
        counts.append(count(prediction, manifest))
    return pd.DataFrame(rows), stacked(counts)


def count(prediction: Prediction, manifest: Manifest) -> Counts:
    """What all scores of one picture follow from."""
    names = manifest.class_names
    edges = boundary_counts(prediction.mask, prediction.predicted, len(names), manifest.background)
    return Counts(names, prediction.confusion, edges)
