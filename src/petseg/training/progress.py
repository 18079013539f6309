"""What a person sees while training goes on: a bar, then a line per epoch, with the speed and the time left."""

import time

import tensorflow as tf
from tqdm import tqdm

from petseg.metrics import mean_iou
from petseg.training.history import Epoch

_PAUSE = 0.5  # seconds between two figures on the bar


def summary(row: Epoch, is_best: bool) -> str:
    return (
        f"loss {row.loss:.4f}  mean IoU {row.mean_iou:.4f}  |  val loss {row.val_loss:.4f}  "
        f"val mean IoU {row.val_mean_iou:.4f}{' (best)' if is_best else '       '}  |"
    )


class Clock:
    """Images per second of the last epoch, validation included, and the time left at the mean pace so far."""

    def __init__(self, epochs: int) -> None:
        self._left, self._laps = epochs, 0
        self._start = self._last = time.monotonic()

    def lap(self, images: int) -> str:
        now = time.monotonic()
        self._laps += 1
        self._left -= 1
        rest = round((now - self._start) / self._laps * self._left)
        speed = images / (now - self._last)
        self._last = now
        return f"{speed:.0f} images/s  {rest // 60}:{rest % 60:02d} left"


class StepBar(tqdm):  # type: ignore[type-arg]
    """A bar of an epoch's pictures, which now and then tells the loss and the mean IoU so far."""

    def __init__(
        self, title: str, done: int, steps: int, batch_size: int, is_silent: bool | None
    ) -> None:
        super().__init__(
            total=steps * batch_size,
            initial=done * batch_size,
            desc=title,
            unit="image",
            disable=is_silent,
            leave=False,
            dynamic_ncols=True,
        )
        self._batch_size, self._told = batch_size, time.monotonic()

    def step(self, loss: float, counts: tf.Tensor) -> None:
        self.update(self._batch_size)
        if not self.disable and time.monotonic() - self._told > _PAUSE:
            self._told = time.monotonic()
            self.set_postfix({"loss": f"{loss:.4f}", "mean IoU": f"{mean_iou(counts.numpy()):.4f}"})
