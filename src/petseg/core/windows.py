"""The windows that cover a large image, and their weights where they overlap.

Preprocessing cuts the same windows (tiles) as prediction, which blends what it predicts in them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from petseg.core.geometry import Box, ImageSize


@dataclass(frozen=True)
class Grid:
    """Equal windows in rows and columns that cover an image of any size.

    Windows are in the image's own pixels. Along an axis where the image is smaller than a window,
    the only window reaches beyond it.
    """

    height: int  # of the image, in pixels
    width: int
    window: ImageSize
    overlap: int  # of neighboring windows, at least

    @cached_property
    def tops(self) -> tuple[int, ...]:
        """The first row of each row of windows."""
        return _spread(self.height, self.window.height, self.overlap)

    @cached_property
    def lefts(self) -> tuple[int, ...]:
        """The first column of each column of windows."""
        return _spread(self.width, self.window.width, self.overlap)

    def __len__(self) -> int:
        return len(self.tops) * len(self.lefts)

    def __iter__(self) -> Iterator[Box]:
        """Yield the windows, row by row."""
        return (Box(top, left, *self.window) for top in self.tops for left in self.lefts)

    def __getitem__(self, number: int) -> Box:
        row, column = divmod(number, len(self.lefts))
        return Box(self.tops[row], self.lefts[column], *self.window)


def _spread(length: int, size: int, overlap: int) -> tuple[int, ...]:
    """Return where as few windows as possible begin that overlap by at least `overlap`.

    They are spread evenly from one edge to the other, so that none repeats most of its neighbor.
    """
    slack = length - size
    if slack <= 0:
        return (0,)
    gaps = -(-slack // (size - overlap))  # rounded up
    return tuple((number * slack + gaps // 2) // gaps for number in range(gaps + 1))


def blend_shares(starts: tuple[int, ...], size: int) -> list[NDArray[np.float32]]:
    """Return each window's share (size,) in the mean over it and the windows before it.

    The weight of a pixel is its distance to the window's nearer edge, from 1 on.
    Updating a mean by `mean += (value - mean) * share` for one window after the other gives the
    weighted mean, and keeps a constant exactly. A share is 1 where no window was before.
    """
    weight = np.minimum(np.arange(1, size + 1), np.arange(size, 0, -1))
    total = np.zeros(starts[-1] + size)
    shares = []
    for start in starts:
        total[start : start + size] += weight
        shares.append((weight / total[start : start + size]).astype(np.float32))
    return shares


def pad_window(pixels: NDArray[np.uint8], size: ImageSize, value: int) -> NDArray[np.uint8]:
    """Extend a window (h, w, ...) that reaches beyond the image to (H, W, ...)."""
    height, width = pixels.shape[:2]
    if (height, width) == size:
        return pixels
    below, right = size.height - height, size.width - width
    rest = [(0, 0)] * (pixels.ndim - 2)
    return np.pad(pixels, [(0, below), (0, right), *rest], constant_values=value)
