"""The pixels of overlays."""

import numpy as np
import pytest

from petseg.overlays import (
    FALSE_NEGATIVE,
    FALSE_POSITIVE,
    WRONG_CLASS,
    error_legend,
    overlay_errors,
    overlay_mask,
)

IMAGE = np.full((2, 3, 3), 100, np.uint8)


def test_class_colors_are_blended_except_over_background_and_ignored_pixels():
    mask = np.array([[0, 1, 2], [255, 1, 0]], np.uint8)
    colors = [(200, 0, 0), (0, 0, 0), (0, 0, 200)]
    overlay = overlay_mask(IMAGE, mask, colors, background=1, opacity=0.5)
    assert overlay[0, 0].tolist() == [150, 50, 50]
    assert overlay[0, 2].tolist() == [50, 50, 150]
    assert overlay[0, 1].tolist() == overlay[1, 0].tolist() == [100, 100, 100]


def test_errors_are_colored_by_kind_and_correct_pixels_are_gray():
    truth = np.array([[0, 1, 0], [255, 1, 2]], np.uint8)
    predicted = np.array([[1, 0, 2], [0, 1, 2]], np.uint8)
    overlay = overlay_errors(IMAGE, truth, predicted, background=1).astype(int)
    for place, color in (((0, 0), FALSE_NEGATIVE), ((0, 1), FALSE_POSITIVE), ((0, 2), WRONG_CLASS)):
        assert np.abs(overlay[place] - color).max() < 20
    for place in ((1, 0), (1, 1), (1, 2)):
        assert len(set(overlay[place].tolist())) == 1


@pytest.mark.parametrize("background", [1, None])
def test_the_legend_has_the_colors_of_the_errors(background):
    truth = np.array([[0, 1, 0], [1, 1, 2]], np.uint8)
    predicted = np.array([[1, 0, 2], [1, 1, 2]], np.uint8)
    overlay = overlay_errors(IMAGE, truth, predicted, background).astype(int)
    colors = error_legend(background).values()
    for place in ((0, 0), (0, 1), (0, 2)):
        assert min(np.abs(overlay[place] - color).max() for color in colors) < 20
