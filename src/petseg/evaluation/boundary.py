"""Boundary IoU (Cheng et al., CVPR 2021, https://arxiv.org/abs/2103.16562).

Only pixels within a few pixels of a region's own contour count, in truth and prediction. The inside
of a large pet, which every network gets right, can't hide a poor outline.
"""

import math
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from petseg.core.labels import IGNORE_LABEL

_BOUNDARY_WIDTH = 0.02  # share of the image's diagonal, as in the paper
_WORD_BITS = 64
_PIXELS_AT_ONCE = 2**22

_Bits = NDArray[np.unsignedinteger[Any]]


def boundary_counts(
    truth: NDArray[np.uint8],
    predicted: NDArray[np.uint8],
    num_classes: int,
    background: int | None,
) -> NDArray[np.int64]:
    """Count the pixels in the intersection and union of two masks' boundaries, (R, 2).

    The masks are (H, W). The regions are the classes, followed by the foreground if there is a
    background. As in the paper, a region's contour includes the image's edge. Ignored pixels are
    outside every region, in truth and prediction.
    """
    distance = max(1, round(_BOUNDARY_WIDTH * math.hypot(*truth.shape)))
    num_regions = num_classes + (background is not None)
    counts = np.zeros((num_regions, 2), np.int64)
    rows = max(2 * distance, _PIXELS_AT_ONCE // truth.shape[1])
    for start in range(0, len(truth), rows):  # with the rows around them that erosion looks at
        first, stop = max(0, start - distance), start + rows + distance
        masks = np.stack([truth[first:stop], predicted[first:stop]])
        bits = np.take(_region_bits(num_classes, background), masks, axis=1)  # (words, 2, h, W)
        boundaries = _inner_boundary(bits * (masks[0] != IGNORE_LABEL), distance)
        true_boundary, predicted_boundary = np.moveaxis(
            boundaries[..., start - first : start - first + rows, :], 1, 0
        )
        counts[:, 0] += _count_pixels(true_boundary & predicted_boundary, num_regions)
        counts[:, 1] += _count_pixels(true_boundary | predicted_boundary, num_regions)
    return counts


@lru_cache
def _region_bits(num_classes: int, background: int | None) -> _Bits:
    """Return each label's regions as bits, (words, 256): region r is bit r % 64 of word r // 64.

    Bitwise operations then process all regions at once.
    """
    regions = [[label] for label in range(num_classes)]
    if background is not None:
        regions.append([label for label in range(num_classes) if label != background])
    words = np.zeros((math.ceil(len(regions) / _WORD_BITS), 256), np.uint64)
    for number, labels in enumerate(regions):
        words[number // _WORD_BITS, labels] |= np.uint64(1 << number % _WORD_BITS)
    return words.astype(np.min_scalar_type(words.max()))  # a byte suffices for three classes


def _inner_boundary(regions: _Bits, distance: int) -> _Bits:
    """Return the pixels of each region (..., H, W) within `distance` of its contour.

    These are the pixels that erosion by a square of side 2 * distance + 1 removes.
    """
    *leading, height, width = regions.shape
    eroded = np.zeros((*leading, height + 2 * distance, width + 2 * distance), regions.dtype)
    eroded[..., distance:-distance, distance:-distance] = regions
    for axis in (-2, -1):
        eroded = _erode(eroded, 2 * distance + 1, axis)
    return regions & ~eroded


def _erode(regions: _Bits, window: int, axis: int) -> _Bits:
    """AND every `window` consecutive pixels; the axis shrinks by window - 1."""
    regions = np.moveaxis(regions, axis, 0)
    covered = 1
    while covered < window:
        step = min(covered, window - covered)
        regions = regions[:-step] & regions[step:]
        covered += step
    return np.moveaxis(regions, 0, axis)


def _count_pixels(bits: _Bits, num_regions: int) -> NDArray[np.int64]:
    """Return the number of pixels of each region, (R,)."""
    flags = bits.dtype.type(1) << np.arange(min(num_regions, _WORD_BITS), dtype=bits.dtype)
    counts = [
        np.count_nonzero((bits[number // _WORD_BITS] & flags[number % _WORD_BITS]) != 0)
        for number in range(num_regions)
    ]
    return np.array(counts, np.int64)
