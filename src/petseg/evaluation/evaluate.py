"""The evaluate stage: score a model on the validation and test shards."""

from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import pandas as pd

from petseg.config.params import EvaluateParams
from petseg.config.paths import PipelinePaths
from petseg.config.types import Resolution
from petseg.core.atomic_io import write_json
from petseg.core.errors import explain, translate
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
    """Score the validation and the test split, and write metrics and tables. Raises PetsegError."""
    manifest, saved = read_manifest(paths.shards), load_model(paths.model)
    with _explain_memory(params.resolution):
        _, val = score_split(params, saved, paths.shards, manifest, "val")
        images, test = score_split(params, saved, paths.shards, manifest, "test")
    scores = {
        split: (compute_metrics(counts), bootstrap_intervals(counts, params.bootstrap_samples))
        for split, counts in (("val", val), ("test", test))
    }
    # The key "val" distinguishes the two in `dvc metrics show`, which omits file names.
    write_json(paths.val_metrics, {"val": summary_metrics(*scores["val"])})
    write_json(paths.test_metrics, summary_metrics(*scores["test"]))
    write_table(paths.scores, scores_table(scores))
    write_table(paths.per_image, per_image_table(images, test))
    write_table(paths.per_category, grouped_table(images, test, ["supercategory", "category"]))
    write_table(paths.per_supercategory, grouped_table(images, test, ["supercategory"]))
    write_table(paths.confusion, confusion_table(test.total().confusion, manifest.class_names))


def score_split(
    params: EvaluateParams, saved: SavedModel, shards_dir: Path, manifest: Manifest, split: str
) -> tuple[pd.DataFrame, Counts]:
    """Predict a split; return file_name, category and supercategory per image, and the counts.

    Every pixel is counted, except those labeled "ignore".
    """
    predictions = predict_split(
        saved,
        shards_dir,
        manifest,
        split,
        params.batch_size,
        params.tta,
        resolution=params.resolution,
    )
    rows, counts, num_enlarged = [], list[Counts](), 0
    for prediction in predictions:
        if isinstance(params.resolution, int):
            num_enlarged += min(prediction.original_shape) < params.resolution
        rows.append((prediction.file_name, prediction.category, prediction.supercategory))
        counts.append(count_image(prediction, manifest))
    if num_enlarged:
        print(
            f"{num_enlarged} of {len(rows)} images ({split}) are smaller than {params.resolution} "
            "px; their masks are enlarged."
        )
    columns = ["file_name", "category", "supercategory"]
    return pd.DataFrame(rows, columns=columns), stack_counts(counts)


def count_image(prediction: Prediction, manifest: Manifest) -> Counts:
    """Return the counts that all scores of an image are computed from."""
    names = manifest.class_names
    boundary = boundary_counts(
        prediction.mask, prediction.predicted, len(names), manifest.background
    )
    return Counts(names, prediction.confusion, boundary)


def _explain_memory(resolution: Resolution) -> AbstractContextManager[None]:
    hint = "lower evaluate.batch_size"
    if resolution != "model":
        hint += ", or set evaluate.resolution to model or to a smaller number of pixels"
    return translate(partial(explain, memory_hint=hint))
