"""Boundary IoU (Cheng et al., CVPR 2021, https://arxiv.org/abs/2103.16562): IoU along the edges alone.

Of truth and prediction only that part of a region counts which lies within a few pixels of its own edge, so the inside
of a large pet, which every network gets right, can't hide a poor outline.
"""

import math

import numpy as np
from numpy.typing import NDArray

from petseg.classes import IGNORE_LABEL

_WIDTH = 0.02  # of the picture's diagonal, as in the paper


def boundary_counts(
    truth: NDArray[np.uint8], predicted: NDArray[np.uint8], classes: int, background: int | None
) -> NDArray[np.int64]:
    """Pixels in both boundaries and in either, (R, 2), of two masks (H, W).

    The regions are the classes and, if there is a background, everything else as one. A region's edge at the border of
    the picture is an edge, as in the paper; an ignored pixel is outside every region, in truth and prediction.
    """
    distance = max(1, round(_WIDTH * math.hypot(*truth.shape)))
    ignored = truth == IGNORE_LABEL
    true_edge, predicted_edge = (
        _inner_boundary(_regions(np.where(ignored, IGNORE_LABEL, mask), classes, background), distance)
        for mask in (truth, predicted)
    )
    both, either = true_edge & predicted_edge, true_edge | predicted_edge
    return np.stack([both.sum((1, 2)), either.sum((1, 2))], axis=1)


def _regions(mask: NDArray[np.uint8], classes: int, background: int | None) -> NDArray[np.bool_]:
    """(R, H, W)"""
    regions: NDArray[np.bool_] = np.equal(mask, np.arange(classes, dtype=np.uint8)[:, None, None])
    if background is None:
        return regions
    foreground = (mask != background) & (mask != IGNORE_LABEL)
    return np.concatenate([regions, foreground[None]])


def _inner_boundary(regions: NDArray[np.bool_], distance: int) -> NDArray[np.bool_]:
    """The pixels of each region (R, H, W) that a square of that radius around them doesn't keep inside it."""
    window = 2 * distance + 1
    inside = np.pad(regions, ((0, 0), (distance, distance), (distance, distance)))
    for axis in (1, 2):
        inside = _all_in_window(inside, window, axis)
    return regions & ~inside


def _all_in_window(flags: NDArray[np.bool_], window: int, axis: int) -> NDArray[np.bool_]:
    """Whether all of the `window` flags from each on are set; the axis gets shorter by window - 1."""
    flags = np.moveaxis(flags, axis, 0)
    covered = 1
    while covered < window:
        step = min(covered, window - covered)
        flags = flags[:-step] & flags[step:]
        covered += step
    return np.moveaxis(flags, 0, axis)
