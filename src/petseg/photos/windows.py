"""Fit photos of any size into the network's input, and put its predictions together again.

A model that was trained on stretched or padded images sees a photo in one window. One that was
trained on the centers of images sees it at the same scale in several windows, which cover all of
it.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from petseg.core.geometry import (
    PADDING_GRAY,
    Box,
    ImageSize,
    Resize,
    place,
    whole_size,
    window_starts,
)


class Windows:
    """The windows of one photo."""

    def __init__(self, photo: Image.Image, size: ImageSize, resize: Resize) -> None:
        placement = place(photo.height, photo.width, size, resize)
        self._size, self._target = size, placement.target
        self._whole = whole_size(photo.height, photo.width, placement)
        # Bilinear with antialiasing, as in preprocessing.
        shape = (self._whole.width, self._whole.height)
        self._scaled = np.asarray(photo.resize(shape, Image.Resampling.BILINEAR))
        height, width = self._target.height, self._target.width
        self._boxes = [  # in the scaled photo
            Box(top, left, height, width)
            for top in window_starts(self._whole.height, height)
            for left in window_starts(self._whole.width, width)
        ]

    def __len__(self) -> int:
        return len(self._boxes)

    def inputs(self) -> Iterator[NDArray[np.uint8]]:
        """Yield what the network sees, (H, W, 3) each, with gray around a smaller photo."""
        for box in self._boxes:
            image = np.full((*self._size, 3), PADDING_GRAY, np.uint8)
            image[self._target.slices] = self._scaled[box.slices]
            yield image

    def merge(self, probabilities: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        """Return the probabilities of the whole photo (h, w, N) for those (H, W, N) of its windows.

        The padding is removed. Where windows overlap, their mean is weighted by the distance to
        each one's edges, so that no seams show.
        """
        inside = [part[self._target.slices] for part in probabilities]
        if len(inside) == 1:
            return inside[0]
        height, width = self._target.height, self._target.width
        weight = np.outer(_distance_to_edge(height), _distance_to_edge(width))[..., None]
        total = np.zeros((*self._whole, inside[0].shape[-1]), np.float32)
        total_weight = np.zeros((*self._whole, 1), np.float32)
        for box, part in zip(self._boxes, inside, strict=True):
            total[box.slices] += weight * part
            total_weight[box.slices] += weight
        return total / total_weight


def _distance_to_edge(length: int) -> NDArray[np.float32]:
    """Return each pixel's distance to the nearer edge, from 1 on."""
    position = np.arange(1, length + 1, dtype=np.float32)
    return np.minimum(position, position[::-1])
