"""Boundary IoU (Cheng et al., CVPR 2021, https://arxiv.org/abs/2103.16562): IoU along the edges alone.

Of truth and prediction only that part of a region counts which lies within a few pixels of its own edge, so the inside
of a large pet, which every network gets right, can't hide a poor outline.
"""

import math
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from petseg.core.labels import IGNORE_LABEL

_WIDTH = 0.02  # of the picture's diagonal, as in the paper
_WORD = 64  # regions in a word

_Bits = NDArray[np.unsignedinteger[Any]]


def boundary_counts(
    truth: NDArray[np.uint8], predicted: NDArray[np.uint8], classes: int, background: int | None
) -> NDArray[np.int64]:
    """Pixels in both boundaries and in either, (R, 2), of two masks (H, W).

    The regions are the classes and, if there is a background, everything else as one. A region's edge at the border of
    the picture is an edge, as in the paper; an ignored pixel is outside every region, in truth and prediction.
    """
    distance, known = max(1, round(_WIDTH * math.hypot(*truth.shape))), truth != IGNORE_LABEL
    regions = (
        np.take(_bits_of_labels(classes, background), np.stack([truth, predicted]), axis=1) * known
    )
    true_edge, predicted_edge = np.moveaxis(_inner_boundary(regions, distance), 1, 0)
    number = classes + (background is not None)
    return np.stack(
        [
            _count(edges, number)
            for edges in (true_edge & predicted_edge, true_edge | predicted_edge)
        ],
        1,
    )


@lru_cache
def _bits_of_labels(classes: int, background: int | None) -> _Bits:
    """(words, 256): a label's regions, region r being bit r % 64 of word r // 64; so all are worked on at once."""
    regions = [[label] for label in range(classes)]
    if background is not None:
        regions.append([label for label in range(classes) if label != background])
    words = np.zeros((math.ceil(len(regions) / _WORD), 256), np.uint64)
    for number, labels in enumerate(regions):
        words[number // _WORD, labels] |= np.uint64(1 << number % _WORD)
    return words.astype(np.min_scalar_type(words.max()))  # of three classes a byte is enough


def _inner_boundary(regions: _Bits, distance: int) -> _Bits:
    """The pixels of each region (..., H, W) that a square of that radius around them doesn't keep inside it."""
    *leading, height, width = regions.shape
    inside = np.zeros((*leading, height + 2 * distance, width + 2 * distance), regions.dtype)
    inside[..., distance:-distance, distance:-distance] = regions
    for axis in (-2, -1):
        inside = _all_in_window(inside, 2 * distance + 1, axis)
    return regions & ~inside


def _all_in_window(regions: _Bits, window: int, axis: int) -> _Bits:
    """The regions that all of the `window` pixels from each on are in; the axis gets shorter by window - 1."""
    regions = np.moveaxis(regions, axis, 0)
    covered = 1
    while covered < window:
        step = min(covered, window - covered)
        regions = regions[:-step] & regions[step:]
        covered += step
    return np.moveaxis(regions, 0, axis)


def _count(pixels: _Bits, regions: int) -> NDArray[np.int64]:
    """How many pixels each region has, (R,)."""
    bits = pixels.dtype.type(1) << np.arange(min(regions, _WORD), dtype=pixels.dtype)
    counts = [
        np.count_nonzero((pixels[number // _WORD] & bits[number % _WORD]) != 0)
        for number in range(regions)
    ]
    return np.array(counts, np.int64)
