"""All that the page and the card tell, gathered from what the stages before have written."""

import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from petseg.config.params import Params
from petseg.config.paths import PipelinePaths
from petseg.config.validation import flatten
from petseg.core.hashing import sha256_of
from petseg.core.labels import BACKGROUND, Color
from petseg.model.saved import MODEL_FILE, WEIGHTS_FILE, SavedModel
from petseg.shards.manifest import MANIFEST_FILE, SPLITS, Manifest

_SCORES = {
    "mean_iou": "Mean IoU",
    "pixel_accuracy": "Pixel accuracy",
    "foreground_iou": "Binary IoU",
    "mean_boundary_iou": "Mean boundary IoU",
    "mean_dice": "Mean Dice",
    "frequency_weighted_iou": "Frequency-weighted IoU",
    "foreground_iou_per_image": "Binary IoU, mean over pictures",
    "foreground_boundary_iou": "Binary boundary IoU",
    "foreground_iou_border_ignored": "Binary IoU, border ignored",
    "foreground_iou_border_ignored_per_image": "Binary IoU, border ignored, mean over pictures",
}
_CLASS_SCORES = {"iou": "IoU", "dice": "Dice", "boundary_iou": "Boundary IoU"}
_PACKAGES = ("tensorflow", "keras", "tensorflow-datasets", "numpy", "pandas", "pillow", "dvc")


@dataclass(frozen=True)
class Interval:
    """A score with the bounds of its 95 % interval; what is undefined is NaN."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Score:
    name: str
    test: Interval
    val: Interval


@dataclass(frozen=True)
class Facts:
    """By subject, in the order in which they are told."""

    source: str
    pictures: dict[str, int]  # by split
    classes: dict[str, Color]
    image_size: int
    parameters: int
    epoch: int
    scores: list[Score]  # the most important ones first
    class_scores: dict[str, list[Score]]  # by class
    confusion: dict[str, dict[str, float]]  # share of a true class's pixels by predicted class
    history: pd.DataFrame
    categories: pd.DataFrame  # the worst first
    supercategories: pd.DataFrame
    exported: dict[str, dict[str, float | None]]  # by format; what is undefined is None
    settings: dict[str, Any]  # dotted parameters
    versions: dict[str, str]
    checksums: dict[str, str]

    @property
    def foreground(self) -> dict[str, Color]:
        """The classes that a mask shows in color."""
        return {name: color for name, color in self.classes.items() if name != BACKGROUND}


def gather(params: Params, paths: PipelinePaths, manifest: Manifest, saved: SavedModel) -> Facts:
    """Read all but the pictures."""
    table = read_table(paths.scores, "split", "metric")
    intervals = {
        (row["split"], row["metric"]): Interval(row["value"], row["ci95_lower"], row["ci95_upper"])
        for row in table.to_dict("records")
    }
    confusion = read_table(paths.confusion, "truth", "prediction", "pair")
    files = {str(paths.model / name): paths.model / name for name in (MODEL_FILE, WEIGHTS_FILE)}
    files[str(paths.shards / MANIFEST_FILE)] = paths.shards / MANIFEST_FILE
    files |= {str(path): path for path in sorted(paths.exported.iterdir())}
    return Facts(
        source=manifest.dataset,
        pictures={split: manifest.splits[split].num_examples for split in SPLITS},
        classes=manifest.classes,
        image_size=manifest.image_size,
        parameters=saved.network.count_params(),
        epoch=saved.origin.epoch if saved.origin else 0,
        scores=_named(intervals, _SCORES),
        class_scores={
            name: _named(
                intervals, {f"{key}.{name}": title for key, title in _CLASS_SCORES.items()}
            )
            for name in manifest.classes
        },
        confusion={
            str(truth): dict(zip(rows["prediction"], rows["share"], strict=True))
            for truth, rows in confusion.groupby("truth", sort=False)
        },
        history=pd.read_csv(paths.history),
        categories=read_table(paths.per_category, "supercategory", "category"),
        supercategories=read_table(paths.per_supercategory, "supercategory"),
        exported=json.loads(paths.export_metrics.read_text(encoding="utf-8"))["export"],
        settings=flatten(params.model_dump(mode="json")),
        versions={"petseg": version("petseg"), "Python": platform.python_version()}
        | {name: version(name) for name in _PACKAGES},
        checksums={name: sha256_of(path) for name, path in files.items()},
    )


def read_table(path: Path, *texts: str) -> pd.DataFrame:
    """A CSV whose columns are numbers, NaN where empty, but for those named, which are text whatever it looks like."""
    numbers = [name for name in pd.read_csv(path, nrows=0).columns if name not in texts]
    return pd.read_csv(
        path,
        dtype=dict.fromkeys(texts, str),
        keep_default_na=False,
        na_values=dict.fromkeys(numbers, ""),
    )


def _named(intervals: Mapping[tuple[str, str], Interval], titles: Mapping[str, str]) -> list[Score]:
    return [
        Score(title, intervals["test", key], intervals["val", key])
        for key, title in titles.items()
        if ("test", key) in intervals
    ]
