"""The data of the page and the model card, collected from the outputs of earlier stages."""

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
from petseg.config.tiles import Tiles
from petseg.config.validation import flatten
from petseg.core.geometry import ImageSize, Resize
from petseg.core.hashing import sha256_of
from petseg.core.labels import BACKGROUND, Color
from petseg.model.encoder import ENCODERS
from petseg.model.saved import MODEL_FILE, WEIGHTS_FILE, SavedModel
from petseg.shards.manifest import MANIFEST_FILE, SPLITS, Manifest

_SCORE_TITLES = {
    "mean_iou": "Mean IoU",
    "pixel_accuracy": "Pixel accuracy",
    "foreground_iou": "Foreground IoU",
    "mean_boundary_iou": "Mean boundary IoU",
    "mean_dice": "Mean Dice",
    "frequency_weighted_iou": "Frequency-weighted IoU",
    "foreground_iou_per_image": "Foreground IoU, mean over images",
    "foreground_boundary_iou": "Foreground boundary IoU",
    "foreground_iou_border_ignored": "Foreground IoU, border ignored",
    "foreground_iou_border_ignored_per_image": "Foreground IoU, border ignored, mean over images",
}
_CLASS_SCORE_TITLES = {"iou": "IoU", "dice": "Dice", "boundary_iou": "Boundary IoU"}
_PACKAGES = ("tensorflow", "keras", "tensorflow-datasets", "numpy", "pandas", "pillow", "dvc")


@dataclass(frozen=True)
class GroupNames:
    """A data set's words for its categories and supercategories."""

    category: str
    categories: str
    supercategory: str


_DEFAULT_NAMES = GroupNames("category", "categories", "supercategory")
_PET_NAMES = GroupNames("breed", "breeds", "species")
_GROUP_NAMES = {"oxford_iiit_pet": _PET_NAMES, "synthetic_pets": _PET_NAMES}


@dataclass(frozen=True)
class Estimate:
    """A score and its 95 % confidence interval; undefined values are NaN."""

    value: float
    lower: float
    upper: float


@dataclass(frozen=True)
class ScoreRow:
    """A score on both splits."""

    title: str
    test: Estimate
    val: Estimate


@dataclass(frozen=True)
class ReportData:
    """Everything the templates show except images."""

    dataset: str
    group_names: GroupNames
    num_images: dict[str, int]  # by split
    ignored: dict[str, float]  # share of the pixels in no class, by split
    notes: tuple[str, ...]  # what was left out, guessed or drawn
    classes: dict[str, Color]
    image_size: ImageSize
    resize: Resize
    tiles: Tiles | None
    encoder: str  # its title
    num_parameters: int
    best_epoch: int
    scores: list[ScoreRow]  # most important first
    class_scores: dict[str, list[ScoreRow]]  # by class
    confusion: dict[str, dict[str, float]]  # share of a true class's pixels by predicted class
    history: pd.DataFrame
    categories: pd.DataFrame  # worst first
    supercategories: pd.DataFrame
    exported: dict[str, dict[str, float | None]]  # by format; undefined values are None
    params: dict[str, Any]  # by dotted key
    versions: dict[str, str]
    checksums: dict[str, str]

    @property
    def foreground(self) -> dict[str, Color]:
        """The classes that overlays show in color."""
        return {name: color for name, color in self.classes.items() if name != BACKGROUND}

    @property
    def scored(self) -> str:
        """How predictions were scored, if not in one view at the network's scale; else empty."""
        flip, scales = self.params["evaluate.tta.flip"], self.params["evaluate.tta.scales"]
        views = ["with its mirror image"] * flip
        if scales != [1.0]:
            views.append(
                f"at {'scale' if len(scales) == 1 else 'scales'} {', '.join(map(str, scales))}"
            )
        texts = []
        if views:
            texts.append(f"each image was predicted {' and '.join(views)} (evaluate.tta)")
        resolution = self.params["evaluate.resolution"]
        if resolution == "original" and not self.tiles:
            texts.append("scores are at each image's own size (evaluate.resolution)")
        elif isinstance(resolution, int):
            texts.append(
                f"scores are of masks of {resolution} x {resolution} pixels (evaluate.resolution)"
            )
        text = "; ".join(texts)
        return f"{text[:1].upper()}{text[1:]}." if text else ""

    @property
    def several_supercategories(self) -> bool:
        return len(self.supercategories) > 1


def collect_report_data(
    params: Params, paths: PipelinePaths, manifest: Manifest, saved: SavedModel
) -> ReportData:
    """Read the outputs of the earlier stages."""
    estimates = _read_estimates(paths.scores)
    return ReportData(
        dataset=manifest.dataset,
        group_names=_GROUP_NAMES.get(manifest.dataset, _DEFAULT_NAMES),
        num_images={split: manifest.splits[split].num_images for split in SPLITS},
        ignored={split: _share_ignored(manifest.splits[split].pixels) for split in SPLITS},
        notes=manifest.notes,
        classes=manifest.classes,
        image_size=manifest.image_size,
        resize=manifest.resize,
        tiles=manifest.tiles,
        encoder=ENCODERS[saved.architecture.encoder].title,
        num_parameters=saved.network.count_params(),
        best_epoch=saved.origin.best_epoch if saved.origin else 0,
        scores=_score_rows(estimates, _SCORE_TITLES),
        class_scores={
            name: _score_rows(
                estimates, {f"{key}.{name}": title for key, title in _CLASS_SCORE_TITLES.items()}
            )
            for name in manifest.classes
        },
        confusion=_read_confusion(paths.confusion),
        history=pd.read_csv(paths.history),
        categories=read_table(paths.per_category, "supercategory", "category"),
        supercategories=read_table(paths.per_supercategory, "supercategory"),
        exported=json.loads(paths.export_metrics.read_text(encoding="utf-8"))["export"],
        params=flatten(params.model_dump(mode="json")),
        versions=_versions(),
        checksums=_checksums(paths),
    )


def _share_ignored(pixels: dict[str, int]) -> float:
    return pixels["ignored"] / sum(pixels.values())


def read_table(path: Path, *text_columns: str) -> pd.DataFrame:
    """Read a CSV whose other columns are numbers, NaN where empty. Text is never converted."""
    columns = pd.read_csv(path, nrows=0).columns
    return pd.read_csv(
        path,
        dtype=dict.fromkeys(text_columns, str),
        keep_default_na=False,
        na_values={name: "" for name in columns if name not in text_columns},
    )


def _read_estimates(path: Path) -> dict[tuple[str, str], Estimate]:
    """Read scores by split and metric."""
    return {
        (row["split"], row["metric"]): Estimate(row["value"], row["ci95_lower"], row["ci95_upper"])
        for row in read_table(path, "split", "metric").to_dict("records")
    }


def _score_rows(
    estimates: Mapping[tuple[str, str], Estimate], titles: Mapping[str, str]
) -> list[ScoreRow]:
    return [
        ScoreRow(title, estimates["test", key], estimates["val", key])
        for key, title in titles.items()
        if ("test", key) in estimates
    ]


def _read_confusion(path: Path) -> dict[str, dict[str, float]]:
    table = read_table(path, "truth", "prediction", "pair")
    return {
        str(truth): dict(zip(rows["prediction"], rows["share"], strict=True))
        for truth, rows in table.groupby("truth", sort=False)
    }


def _versions() -> dict[str, str]:
    packages = {name: version(name) for name in _PACKAGES}
    return {"petseg": version("petseg"), "Python": platform.python_version(), **packages}


def _checksums(paths: PipelinePaths) -> dict[str, str]:
    files = [
        paths.model / MODEL_FILE,
        paths.model / WEIGHTS_FILE,
        paths.shards / MANIFEST_FILE,
        *sorted(path for path in paths.exported.rglob("*") if path.is_file()),
    ]
    return {str(path): sha256_of(path) for path in files}
