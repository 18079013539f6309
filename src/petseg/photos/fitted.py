"""Fit photos of any size into the network's input, and put its predictions together again.

A model that was trained on stretched or padded images sees a photo in one window. One that was
trained on the centers of images sees it at the same scale in several windows, which cover all of
it.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from petseg.core.geometry import PADDING_GRAY, ImageSize, Resize, place, whole_size
from petseg.core.windows import Grid
from petseg.prediction.blending import Blender, join


class FittedPhoto:
    """What the network sees of one photo."""

    def __init__(self, photo: Image.Image, size: ImageSize, resize: Resize) -> None:
        placement = place(photo.height, photo.width, size, resize)
        self._size, self._target = size, placement.target
        whole = whole_size(photo.height, photo.width, placement)
        # Bilinear with antialiasing, as in preprocessing.
        scaled = photo.resize((whole.width, whole.height), Image.Resampling.BILINEAR)
        self._scaled = np.asarray(scaled)
        window = ImageSize(self._target.height, self._target.width)
        self._grid = Grid(*whole, window, min(window) // 4)

    def __len__(self) -> int:
        return len(self._grid)

    def inputs(self) -> Iterator[NDArray[np.uint8]]:
        """Yield what the network sees, (H, W, 3) each, with gray around a smaller photo."""
        for window in self._grid:
            image = np.full((*self._size, 3), PADDING_GRAY, np.uint8)
            image[self._target.slices] = self._scaled[window.slices]
            yield image

    def merge(self, probabilities: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        """Return the probabilities of the whole photo (h, w, N) for those (H, W, N) of its windows.

        The padding is removed. Where windows overlap, they are blended, so that no seams show.
        """
        inside = [part[self._target.slices] for part in probabilities]
        if len(inside) == 1:
            return inside[0]
        num_classes = inside[0].shape[-1]
        blender = Blender(self._grid, num_classes)
        return join(map(blender.add, inside), self._grid.height, self._grid.width, num_classes)
