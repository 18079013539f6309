"""Blend the predictions for the windows of an image, a few rows at a time."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from petseg.core.geometry import ImageSize
from petseg.core.windows import Grid, blend_shares


@dataclass(frozen=True)
class Block:
    """Finished probabilities of a rectangle of the image."""

    top: int
    left: int
    probabilities: NDArray[np.float32]  # (h, w, N)

    @property
    def area(self) -> tuple[slice, slice]:
        """Its rows and columns in the image."""
        height, width = self.probabilities.shape[:2]
        return slice(self.top, self.top + height), slice(self.left, self.left + width)


class Blender:
    """Take the windows of a grid in order, and return what each of them finishes.

    The blocks together cover the image without overlap. Held are only the rows and columns that
    later windows overlap, so memory grows with the image's width, not with its height.
    """

    def __init__(self, grid: Grid, num_classes: int) -> None:
        height, width = grid.window
        self._grid, self._num_added = grid, 0
        self._row_shares = blend_shares(grid.tops, height)
        self._column_shares = blend_shares(grid.lefts, width)
        self._row_steps = _steps(grid.tops, height)
        self._column_steps = _steps(grid.lefts, width)
        # Unfinished rows
        self._above = np.zeros((0, max(grid.width, width), num_classes), np.float32)
        self._below = self._above  # the same for the next row of windows
        self._beside = np.zeros((height, 0, num_classes), np.float32)  # unfinished columns

    @property
    def is_done(self) -> bool:
        return self._num_added == len(self._grid)

    def add(self, probabilities: NDArray[np.float32]) -> Block:
        """Blend in the next window, (h, w, N)."""
        row, column = divmod(self._num_added, len(self._grid.lefts))
        self._num_added += 1
        top, left = self._grid.tops[row], self._grid.lefts[column]
        height, width = self._row_steps[row], self._column_steps[column]
        if column == 0:
            self._above = self._below
            unfinished = self._grid.window.height - height
            self._below = np.empty((unfinished, *self._above.shape[1:]), np.float32)
        blended = _update(self._beside, probabilities, self._column_shares[column], axis=1)
        self._beside = blended[:, width:]
        above = self._above[:, left : left + width]
        blended = _update(above, blended[:, :width], self._row_shares[row], axis=0)
        self._below[:, left : left + width] = blended[height:]
        inside = blended[: min(height, self._grid.height), : min(width, self._grid.width)]
        return Block(top, left, inside)


def _steps(starts: tuple[int, ...], size: int) -> list[int]:
    """Return the rows (or columns) from each window's start to the next one's, or to its end."""
    return [*np.diff(starts).tolist(), size]


def _update(
    mean: NDArray[np.float32],
    values: NDArray[np.float32],
    shares: NDArray[np.float32],
    axis: int,
) -> NDArray[np.float32]:
    """Return the mean including `values` (h, w, N); `mean` covers the first of its rows or columns.

    Beyond them, all shares are 1.
    """
    updated = values.copy()
    known = mean.shape[axis]
    if known:
        first = (slice(None),) * axis + (slice(known),)
        factors = shares[:known].reshape([-1 if i == axis else 1 for i in range(3)])
        updated[first] = mean + (values[first] - mean) * factors
    return updated


def enlarge(probabilities: NDArray[np.float32], size: ImageSize) -> NDArray[np.float32]:
    """Resize a window's probabilities (H, W, N) from the network's size to that of the window."""
    if probabilities.shape[:2] == size:
        return probabilities
    shape = (size.width, size.height)
    planes = [
        Image.fromarray(np.ascontiguousarray(plane)).resize(shape, Image.Resampling.BILINEAR)
        for plane in np.moveaxis(probabilities, -1, 0)
    ]
    return np.stack([np.asarray(plane) for plane in planes], axis=-1)


def join(blocks: Iterable[Block], height: int, width: int, num_classes: int) -> NDArray[np.float32]:
    """Return the probabilities of the whole image, (height, width, N)."""
    joined = np.empty((height, width, num_classes), np.float32)
    for block in blocks:
        joined[block.area] = block.probabilities
    return joined
