"""What a person sees while training goes on: a line per epoch, with the speed and the time left."""

import time

from petseg.training.history import Epoch


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
