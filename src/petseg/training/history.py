"""What happened in each epoch, as rows and as plots/history.csv, which grows while training goes on."""

import csv
import io
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from petseg.core.atomic_io import atomic_write


@dataclass(frozen=True)
class Epoch:
    epoch: int  # from 1
    learning_rate: float  # of the decoder, at the epoch's end
    loss: float
    mean_iou: float
    val_loss: float
    val_mean_iou: float
    val_pixel_accuracy: float


def best_epoch(history: list[Epoch]) -> Epoch:
    """The first epoch with the highest mean IoU on validation."""
    return max(history, key=lambda row: (row.val_mean_iou, -row.epoch))


def write_history(history: list[Epoch], path: Path) -> None:
    """Write all rows so far; a reader sees the old file or the new one, nothing between."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(Epoch)], lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: _short(value) for key, value in asdict(row).items()} for row in history)
    atomic_write(path, text.getvalue())


def _short(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.6g}"
