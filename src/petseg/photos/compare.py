"""Two models on the same pictures: how far their metrics lie apart, if that may be chance, and where they differ."""

import heapq
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from petseg.config.params import TtaParams
from petseg.core.atomic_io import atomic_write
from petseg.core.errors import PetsegError
from petseg.core.labels import BACKGROUND
from petseg.evaluation.bootstrap import difference_intervals
from petseg.evaluation.evaluate import count_image
from petseg.evaluation.per_image import Counts, compute_metrics, stack_counts
from petseg.evaluation.tables import write_table
from petseg.image_encoding import encode_image
from petseg.metrics import mean_iou
from petseg.model.saved import SavedModel, load_model
from petseg.overlays import overlay_mask
from petseg.prediction.predict import Prediction, predict_split
from petseg.rendering.image_grid import GridRow, draw_image_grid
from petseg.shards.manifest import Manifest, read_manifest

_DIGITS = 6
_DRAWS = 1000


@dataclass(frozen=True)
class Comparison:
    """Metrics by name with both models' values; and the pictures on which the models differ most, side by side."""

    table: pd.DataFrame  # metric, first, second, difference, low_95, high_95 (of the difference)
    sheet: Image.Image
    pictures: int


def compare_models(
    first_dir: Path,
    second_dir: Path,
    shards_dir: Path,
    split: str,
    batch_size: int,
    tta: TtaParams,
    shown: int,
) -> Comparison:
    """Both on one split of the shards; `shown` pictures come onto the sheet. Raises PetsegError."""
    if first_dir.resolve() == second_dir.resolve():
        raise PetsegError(f"{first_dir} and {second_dir} are the same model; name two.")
    manifest = read_manifest(shards_dir)
    models = [_load(model_dir, manifest, split) for model_dir in (first_dir, second_dir)]
    both = (predict_split(model, shards_dir, manifest, split, batch_size, tta) for model in models)
    counted: tuple[list[Counts], list[Counts]] = ([], [])
    differing: list[
        tuple[float, int, tuple[Prediction, ...]]
    ] = []  # a heap, the least differing picture on top
    for number, pair in enumerate(zip(*both, strict=True)):
        for counts, prediction in zip(counted, pair, strict=True):
            counts.append(count_image(prediction, manifest))
        entry = (_distance(pair), -number, pair)
        (heapq.heappush if len(differing) < shown else heapq.heappushpop)(differing, entry)
    first, second = map(stack_counts, counted)
    most_first = [pair for *_, pair in sorted(differing, reverse=True, key=lambda entry: entry[:2])]
    return Comparison(_table(first, second), _sheet(most_first, manifest), len(counted[0]))


def write_comparison(comparison: Comparison, out: Path) -> None:
    """metrics.csv and pictures.png, in a folder that is made if need be."""
    write_table(out / "metrics.csv", comparison.table)
    atomic_write(out / "pictures.png", encode_image(comparison.sheet))


def _load(model_dir: Path, manifest: Manifest, split: str) -> SavedModel:
    """A model that can be judged fairly on the split. Raises PetsegError."""
    saved = load_model(model_dir)
    if saved.class_names != manifest.class_names or saved.image_size != manifest.image_size:
        raise PetsegError(
            f"{model_dir} was trained for {', '.join(saved.class_names)} at {saved.image_size} px, the shards hold "
            f"{', '.join(manifest.class_names)} at {manifest.image_size} px; only models of the same can be compared."
        )
    if split == "val" and saved.origin and saved.origin.val_sha256 != manifest.checksum("val"):
        raise PetsegError(
            f"{model_dir} was trained with another validation part, so it may have seen these pictures; compare on "
            "--split test."
        )
    return saved


def _table(first: Counts, second: Counts) -> pd.DataFrame:
    intervals = difference_intervals(first, second, _DRAWS)
    values, others = compute_metrics(first), compute_metrics(second)
    rows = [
        (
            ".".join(name),
            float(value),
            float(others[name]),
            float(others[name] - value),
            *intervals[name],
        )
        for name, value in values.items()
    ]
    return pd.DataFrame(
        rows, columns=["metric", "first", "second", "difference", "low_95", "high_95"]
    ).round(_DIGITS)


def _distance(pair: tuple[Prediction, ...]) -> float:
    """The share of the picture's pixels on which two predictions differ."""
    return float(np.mean(pair[0].predicted != pair[1].predicted))


def _sheet(pairs: list[tuple[Prediction, ...]], manifest: Manifest) -> Image.Image:
    colors, background = list(manifest.classes.values()), manifest.background
    rows = []
    for pair in pairs:
        picture = pair[0].image
        masks = [pair[0].mask, *(prediction.predicted for prediction in pair)]
        scores = ", ".join(f"{mean_iou(prediction.confusion):.3f}" for prediction in pair)
        caption = (
            f"{pair[0].file_name}   mean IoU {scores}   different pixels {_distance(pair):.1%}"
        )
        rows.append(
            GridRow(
                [picture, *(overlay_mask(picture, mask, colors, background) for mask in masks)],
                caption,
            )
        )
    legend = {name: color for name, color in manifest.classes.items() if name != BACKGROUND}
    return draw_image_grid(("photo", "truth", "first", "second"), rows, legend)
