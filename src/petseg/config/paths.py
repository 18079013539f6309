"""The files and folders of the pipeline. dvc.yaml has the same paths; a test compares the two."""

import os
from dataclasses import dataclass, fields
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class PipelinePaths:
    """Every file and folder that stages exchange with each other or with the user."""

    archives: Path = Path("data/archives")  # downloads, or archives put there by hand
    raw: Path = Path("data/raw")
    shards: Path = Path("data/tfrecords")
    model: Path = Path("models/unet")
    train_metrics: Path = Path("metrics/train.json")
    history: Path = Path("plots/history.csv")
    previews: Path = Path("previews")
    tensorboard: Path = Path("tensorboard")
    val_metrics: Path = Path("metrics/val.json")
    test_metrics: Path = Path("metrics/test.json")
    scores: Path = Path("reports/scores.csv")
    per_image: Path = Path("reports/per_image.csv")
    per_category: Path = Path("reports/per_category.csv")
    per_supercategory: Path = Path("reports/per_supercategory.csv")
    confusion: Path = Path("plots/confusion.csv")
    exported: Path = Path("models/exported")
    export_metrics: Path = Path("metrics/export.json")
    masks: Path = Path("plots/masks")
    examples_plot: Path = Path("plots/examples.png")
    best_plot: Path = Path("plots/best.png")
    worst_plot: Path = Path("plots/worst.png")
    curves_plot: Path = Path("plots/curves.png")
    confusion_plot: Path = Path("plots/confusion.png")
    page: Path = Path("reports/index.html")
    model_card: Path = Path("reports/MODEL_CARD.md")

    @classmethod
    def under(cls, root: Path) -> "PipelinePaths":
        """Return the same paths relative to another folder."""
        return cls(**{field.name: root / field.default for field in fields(cls)})  # type: ignore[operator]


def main_repository() -> Path:
    """Return the main repository's folder, even for runs with --temp or in the queue."""
    return Path(os.environ.get("DVC_ROOT", "."))


def model_remedy(folder: Path, out: Path, stage: str) -> str:
    """Return what to do about a model that is damaged, missing or of another format.

    `out` is where the stage `stage` writes such a model: only that folder is in DVC's cache.
    """
    where = folder.resolve()
    if where.is_relative_to(_PACKAGE):
        return "install petseg again"
    if where == out.resolve():
        return f"restore it with dvc checkout --force, or recreate it with dvc repro {stage}"
    return "copy it again, or choose another model"
