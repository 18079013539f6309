"""Measure how wide the parts of objects are in large images, for the proposal of tiles."""

import math
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from petseg.core.errors import PetsegError
from petseg.core.labels import BACKGROUND, IGNORE_LABEL
from petseg.datasets.folder.scan import FolderScan
from petseg.inspection.image_size import LARGE_PIXELS

_MAX_IMAGES = 12


def measure_widths(scan: FolderScan) -> list[tuple[float, float]]:
    """Return the mean width of each class's parts in each of some large images, in pixels.

    With it is the side of a square with as many pixels as the image.
    """
    large = [
        item
        for item in scan.index.items
        if (facts := scan.items[item.name].facts) and math.prod(facts.size) >= LARGE_PIXELS
    ]
    step = max(1, math.ceil(len(large) / _MAX_IMAGES))
    widths: list[tuple[float, float]] = []
    for item in large[::step]:
        with suppress(PetsegError):  # which is among the problems
            mask = scan.read_labels(item)
            names = scan.table.names if scan.table else ()
            found = mean_runs(mask)
            widths += [
                (width, math.sqrt(mask.size))
                for index, width in found.items()
                if index != IGNORE_LABEL and names[index] != BACKGROUND
            ]
    return widths


def mean_runs(mask: NDArray[np.uint8]) -> dict[int, float]:
    """Return the mean length of each class's runs of pixels, in rows or in columns if shorter."""
    pixels = np.array(Image.fromarray(mask).histogram())
    runs = np.zeros(256, np.int64)
    for lines in (mask, mask.T):
        starts = lines[:, 1:][lines[:, 1:] != lines[:, :-1]]
        counts = [np.bincount(part, minlength=256) for part in (lines[:, 0], starts)]
        runs = np.maximum(runs, sum(counts))
    return {i: float(pixels[i] / runs[i]) for i in np.flatnonzero(pixels).tolist()}
