"""Compare two models on the same images.

The result has confidence intervals for the differences and the images that differ most.
"""

import heapq
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from petseg.config.params import TtaParams
from petseg.config.paths import PipelinePaths
from petseg.core.atomic_io import atomic_write
from petseg.core.errors import PetsegError
from petseg.core.labels import BACKGROUND
from petseg.evaluation.bootstrap import difference_intervals
from petseg.evaluation.evaluate import count_image
from petseg.evaluation.per_image import Counts, compute_metrics, stack_counts
from petseg.evaluation.tables import write_table
from petseg.image_encoding import encode_image
from petseg.metrics import mean_iou
from petseg.model.saved import MODEL_FILE, SavedModel, load_model
from petseg.overlays import overlay_mask
from petseg.own_files import require_own_file, sign_image
from petseg.prediction.predict import Prediction, describe_mismatch, predict_split
from petseg.rendering.image_grid import GridRow, draw_image_grid
from petseg.shards.manifest import Manifest, read_manifest

_TABLE, _IMAGES = "metrics.csv", "images.png"
_DIGITS = 6
_BOOTSTRAP_SAMPLES = 1000


@dataclass(frozen=True)
class _Pair:
    """Predictions of the baseline and the candidate for one image, at the size of drawings."""

    baseline: Prediction
    candidate: Prediction
    difference: float  # share of the image's pixels whose predicted classes differ


@dataclass(frozen=True)
class Comparison:
    """Both models' metrics, and the images on which they differ most."""

    table: pd.DataFrame  # metric, baseline, candidate, difference, ci95_lower, ci95_upper
    image_grid: Image.Image
    num_images: int  # in the split
    scale: str  # at which masks were compared, in words


def compare_models(
    baseline_dir: Path,
    candidate_dir: Path,
    shards_dir: Path,
    split: str,
    *,
    batch_size: int,
    tta: TtaParams,
    num_images: int,
) -> Comparison:
    """Evaluate both models on one split and show the `num_images` images that differ most.

    Raises PetsegError.
    """
    if baseline_dir.resolve() == candidate_dir.resolve():
        raise PetsegError(
            f"{baseline_dir} and {candidate_dir} are the same model; choose two different models."
        )
    manifest = read_manifest(shards_dir)
    if manifest.tiles and split == "train":
        raise PetsegError(
            "With tiles, the shards of the train split don't have the whole images' masks; compare "
            "on --split val or test."
        )
    for model_dir in (baseline_dir, candidate_dir):
        _check_is_model(model_dir)
    models = [_load(model_dir, manifest, split) for model_dir in (baseline_dir, candidate_dir)]
    baseline_counts: list[Counts] = []
    candidate_counts: list[Counts] = []

    def counted_pairs() -> Iterator[_Pair]:
        predictions = [
            predict_split(model, shards_dir, manifest, split, batch_size, tta) for model in models
        ]
        for baseline, candidate in zip(*predictions, strict=True):
            baseline_counts.append(count_image(baseline, manifest))
            candidate_counts.append(count_image(candidate, manifest))
            difference = float(np.mean(baseline.predicted != candidate.predicted))
            yield _Pair(baseline.for_drawing(), candidate.for_drawing(), difference)

    most_different = heapq.nlargest(num_images, counted_pairs(), key=lambda pair: pair.difference)
    return Comparison(
        _table(stack_counts(baseline_counts), stack_counts(candidate_counts)),
        _draw_grid(most_different, manifest),
        len(baseline_counts),
        "the images' own size" if manifest.tiles else "the model's size",
    )


def check_out(out: Path) -> None:
    """Raise PetsegError if the results would replace files that petseg didn't write."""
    require_own_file(out / _TABLE, "metric,baseline,candidate,")
    require_own_file(out / _IMAGES)


def write_comparison(comparison: Comparison, out: Path) -> None:
    """Write metrics.csv and images.png; creates the folder."""
    write_table(out / _TABLE, comparison.table)
    atomic_write(out / _IMAGES, sign_image(encode_image(comparison.image_grid)))


def _check_is_model(folder: Path) -> None:
    """Raise PetsegError if a path is a typo, or the name of petseg's own model."""
    if not (folder / MODEL_FILE).is_file() and folder != PipelinePaths.model:
        found = "is not a folder with a trained model" if folder.exists() else "doesn't exist"
        raise PetsegError(
            f"{folder} {found}; choose folders such as {PipelinePaths.model}, or get one with dvc "
            "get."
        )


def _load(model_dir: Path, manifest: Manifest, split: str) -> SavedModel:
    """Load a model. Raises PetsegError unless it can be compared fairly on this split."""
    saved = load_model(model_dir)
    if mismatch := describe_mismatch(saved, manifest):
        raise PetsegError(f"{model_dir} {mismatch}; compare models that match the shards.")
    if split == "val" and saved.origin and saved.origin.val_sha256 != manifest.checksum("val"):
        raise PetsegError(
            f"{model_dir} was trained with another validation split and may have seen these "
            "images; compare on --split test."
        )
    test_sha256 = saved.origin.test_sha256 if saved.origin else None
    if split == "test" and test_sha256 not in (None, manifest.checksum("test")):
        raise PetsegError(
            f"{model_dir} was trained when the test split was another one, and may have seen these "
            "images; train it again."
        )
    if split == "test" and test_sha256 is None:
        print(
            f"{model_dir} may have seen these images: its model.json doesn't say which test images "
            "it had.",
            file=sys.stderr,
        )
    return saved


def _table(baseline: Counts, candidate: Counts) -> pd.DataFrame:
    intervals = difference_intervals(baseline, candidate, _BOOTSTRAP_SAMPLES)
    candidate_metrics = compute_metrics(candidate)
    rows = []
    for name, value in compute_metrics(baseline).items():
        other = candidate_metrics[name]
        rows.append(
            (".".join(name), float(value), float(other), float(other - value), *intervals[name])
        )
    columns = ["metric", "baseline", "candidate", "difference", "ci95_lower", "ci95_upper"]
    return pd.DataFrame(rows, columns=columns).round(_DIGITS)


def _draw_grid(pairs: list[_Pair], manifest: Manifest) -> Image.Image:
    colors = list(manifest.classes.values())
    rows = []
    for pair in pairs:
        baseline, candidate = pair.baseline, pair.candidate
        masks = [baseline.mask, baseline.predicted, candidate.predicted]
        overlays = [
            overlay_mask(baseline.image, mask, colors, manifest.background) for mask in masks
        ]
        caption = (
            f"{baseline.file_name}   mean IoU {mean_iou(baseline.confusion):.3f}, "
            f"{mean_iou(candidate.confusion):.3f}   "
            f"different pixels {pair.difference:.1%}"
        )
        rows.append(GridRow([baseline.image, *overlays], caption))
    legend = {name: color for name, color in manifest.classes.items() if name != BACKGROUND}
    return draw_image_grid(("image", "truth", "baseline", "candidate"), rows, legend)
