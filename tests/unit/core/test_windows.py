"""The windows that cover an image: where they lie, and how much each counts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from petseg.config.tiles import Tiles
from petseg.core.geometry import ImageSize
from petseg.core.windows import blend_shares, pad_window

lengths = st.integers(1, 1000)
some_tiles = st.integers(32, 300).flatmap(
    lambda size: st.builds(Tiles, size=st.just(size), overlap=st.integers(0, size // 2))
)


@pytest.mark.parametrize(
    ("length", "size", "overlap", "starts"),
    [
        (20, 64, 16, (0,)),  # smaller than a window
        (64, 64, 16, (0,)),
        (65, 64, 16, (0, 1)),
        (112, 64, 16, (0, 48)),  # two windows that overlap by 16
        (113, 64, 16, (0, 25, 49)),  # a third one; all share the rest
        (256, 64, 0, (0, 64, 128, 192)),
        (1000, 512, 64, (0, 244, 488)),
    ],
)
def test_windows_are_as_few_as_possible_and_spread_evenly(length, size, overlap, starts):
    grid = Tiles(size=size, overlap=overlap).grid(length, 40)
    assert grid.tops == starts
    assert [window[:2] for window in grid] == [(top, 0) for top in starts]
    assert [grid[number] for number in range(len(grid))] == list(grid)


@given(lengths, some_tiles)
def test_windows_cover_every_pixel_and_overlap_enough(length, tiles):
    starts = tiles.grid(length, 1).tops
    assert starts[0] == 0
    assert starts[-1] + tiles.size == max(length, tiles.size)
    steps = np.diff(starts)
    assert np.all(steps >= 1)
    assert np.all(steps <= tiles.size - tiles.overlap)
    if len(starts) > 1:  # one window less would not do
        assert tiles.size + (len(starts) - 2) * (tiles.size - tiles.overlap) < length
        assert steps.max() - steps.min() <= 1


@given(lengths, some_tiles)
def test_weights_are_never_zero_and_make_a_weighted_mean(length, tiles):
    starts = tiles.grid(1, length).lefts
    covered = starts[-1] + tiles.size
    weight = np.minimum(np.arange(1, tiles.size + 1), np.arange(tiles.size, 0, -1))
    values = np.random.default_rng(0).uniform(size=(len(starts), tiles.size))
    mean, total, weighted = np.zeros(covered), np.zeros(covered), np.zeros(covered)
    for start, share, value in zip(starts, blend_shares(starts, tiles.size), values, strict=True):
        assert np.all(share > 0)
        window = slice(start, start + tiles.size)
        mean[window] += (value - mean[window]) * share
        total[window] += weight
        weighted[window] += weight * value
    np.testing.assert_allclose(mean, weighted / total, rtol=1e-5)


def test_a_window_beyond_the_edge_is_padded():
    pixels = np.ones((2, 3, 3), np.uint8)
    padded = pad_window(pixels, ImageSize(5, 4), 9)
    assert padded.shape == (5, 4, 3)
    assert np.all(padded[:2, :3] == 1)
    assert padded.sum() == 18 + 9 * 3 * (20 - 6)
    assert pad_window(padded, ImageSize(5, 4), 0) is padded
