"""The metrics of each epoch, as rows and as plots/history.csv, which grows during training."""

import csv
import io
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from petseg.core.atomic_io import atomic_write


@dataclass(frozen=True)
class Epoch:
    """A row of plots/history.csv."""

    epoch: int  # from 1
    learning_rate: float  # of the decoder, at the end of the epoch
    loss: float
    mean_iou: float
    val_loss: float
    val_mean_iou: float
    val_pixel_accuracy: float


def best_epoch(history: list[Epoch]) -> Epoch:
    """Return the epoch with the highest validation mean IoU, the earliest one on a tie."""
    return max(history, key=lambda row: (row.val_mean_iou, -row.epoch))


def write_history(history: list[Epoch], path: Path) -> None:
    """Write all rows so far. A concurrent reader sees the old file or the new one."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(Epoch)], lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: _format(value) for key, value in asdict(row).items()} for row in history)
    atomic_write(path, text.getvalue())


def _format(value: int | float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.6g}"
