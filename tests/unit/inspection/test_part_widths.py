"""How wide the parts of classes are in a mask."""

import numpy as np

from petseg.inspection.part_widths import mean_runs


def test_a_class_of_many_small_spots_is_as_wide_as_one_of_them():
    mask = np.zeros((100, 200), np.uint8)
    for top in range(0, 90, 20):
        mask[top : top + 8, 3:9] = 1
        mask[top : top + 8, 50:56] = 1
    assert mean_runs(mask)[1] == 6


def test_a_line_is_as_wide_as_it_is_thick():
    mask = np.zeros((100, 200), np.uint8)
    mask[40:43] = 255
    mask[:40, 70:75] = 2
    widths = mean_runs(mask)
    assert (widths[2], widths[255]) == (5, 3)


def test_a_mask_of_one_pixel_and_of_one_class():
    assert mean_runs(np.full((1, 1), 7, np.uint8)) == {7: 1}
    assert mean_runs(np.full((30, 20), 7, np.uint8)) == {7: 20}
