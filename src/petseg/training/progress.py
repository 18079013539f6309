"""What the terminal shows during training: a progress bar, then one line per epoch."""

import time

import tensorflow as tf
from tqdm import tqdm

from petseg.metrics import mean_iou
from petseg.training.history import Epoch

_REFRESH_INTERVAL = 0.5  # seconds between updates of the bar's metrics


def summarize(row: Epoch, is_best: bool) -> str:
    """Format the metrics of an epoch."""
    return (
        f"loss {row.loss:.4f}  mean IoU {row.mean_iou:.4f}  |  val loss {row.val_loss:.4f}  "
        f"val mean IoU {row.val_mean_iou:.4f}{' (best)' if is_best else '       '}  |"
    )


class Throughput:
    """Images or tiles per second of the last epoch, validation included, and the time left."""

    def __init__(self, epochs_left: int, unit: str) -> None:
        self._unit = unit
        self._epochs_left = epochs_left
        self._epochs_done = 0
        self._start = self._previous = time.monotonic()

    def update(self, num_examples: int) -> str:
        """Count an epoch that trained on this many examples; return the text to show."""
        now = time.monotonic()
        self._epochs_done += 1
        self._epochs_left -= 1
        seconds_left = (now - self._start) / self._epochs_done * self._epochs_left
        rate = num_examples / (now - self._previous)
        self._previous = now
        return f"{rate:.0f} {self._unit}/s  {tqdm.format_interval(round(seconds_left))} left"


class ExampleBar(tqdm):  # type: ignore[type-arg]
    """A progress bar over images or tiles; hidden if not `is_visible` or not in a terminal."""

    def __init__(
        self,
        title: str,
        unit: str,
        num_examples: int,
        num_done: int = 0,
        *,
        is_visible: bool = True,
    ) -> None:
        super().__init__(
            total=num_examples,
            initial=num_done,
            desc=title,
            unit=f" {unit}",
            disable=None if is_visible else True,  # None: hide it unless in a terminal
            leave=False,
            dynamic_ncols=True,
        )
        self._last_refresh = time.monotonic()

    def show_metrics(self, loss: float, confusion: tf.Tensor) -> None:
        """Show the epoch's mean loss and mean IoU so far, from time to time."""
        now = time.monotonic()
        if not self.disable and now - self._last_refresh > _REFRESH_INTERVAL:
            self._last_refresh = now
            metrics = {"loss": f"{loss:.4f}", "mean IoU": f"{mean_iou(confusion.numpy()):.4f}"}
            self.set_postfix(metrics)
