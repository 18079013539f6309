"""Predict an image of any size window by window."""

from collections.abc import Iterable, Iterator
from itertools import islice

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from petseg.core.geometry import PADDING_GRAY, Box, ImageSize
from petseg.core.windows import Grid
from petseg.prediction.backend import PredictFn
from petseg.prediction.blending import Blender, Block, enlarge

_MAX_BATCH = 16
_MAX_BATCH_VALUES = 2**24  # probabilities


def predict_windows(
    predict: PredictFn, image: Image.Image, grid: Grid, size: ImageSize, num_classes: int
) -> Iterator[Block]:
    """Yield the blended probabilities of an RGB image, one block for each window of its grid.

    `size` is that of the network's input, to which each window is resized.
    """
    blender = Blender(grid, num_classes)
    windows = (_cut(image, window, size) for window in grid)
    for probabilities in predict_in_batches(predict, windows, size, num_classes):
        yield blender.add(enlarge(probabilities, grid.window))


def predict_in_batches(
    predict: PredictFn, windows: Iterable[NDArray[np.uint8]], size: ImageSize, num_classes: int
) -> Iterator[NDArray[np.float32]]:
    """Yield the probabilities (H, W, N) of each window (H, W, 3), however many there are."""
    batch_size = min(max(_MAX_BATCH_VALUES // (size.num_pixels * num_classes), 1), _MAX_BATCH)
    remaining = iter(windows)
    while batch := [*islice(remaining, batch_size)]:
        yield from predict(np.stack(batch))


def _cut(image: Image.Image, box: Box, size: ImageSize) -> NDArray[np.uint8]:
    """Return a window (H, W, 3) at the network's size. Beyond the image's edges, it is gray."""
    bottom, right = box.top + box.height, box.left + box.width
    inside = (box.left, box.top, min(right, image.width), min(bottom, image.height))
    window = image.crop(inside)
    if window.size != (box.width, box.height):
        part, window = window, Image.new("RGB", (box.width, box.height), (PADDING_GRAY,) * 3)
        window.paste(part)
    return np.asarray(window.resize((size.width, size.height), Image.Resampling.BILINEAR))
