"""Drawn masks of round pets."""

import numpy as np
from numpy.typing import NDArray

NAMES = ("pet", "background", "border")

MaskPair = tuple[NDArray[np.uint8], NDArray[np.uint8]]
"""Truth and prediction, (H, W)."""


def draw_blobs(rng: np.random.Generator, size: tuple[int, int] = (60, 80)) -> MaskPair:
    """Draw a mask with a pet, its border, background and ignored pixels, and a prediction."""
    y, x = np.mgrid[: size[0], : size[1]]
    masks = []
    for _ in range(2):
        center = [rng.uniform(0.3, 0.7) * side for side in size]
        distance = np.hypot(y - center[0], x - center[1]) - rng.uniform(0.15, 0.3) * min(size)
        masks.append(np.select([distance < -3, distance > 3], [0, 1], 2).astype(np.uint8))
    masks[0][:4, :5] = 255
    return masks[0], masks[1]
