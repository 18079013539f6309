"""The layout of image grids."""

import numpy as np

from petseg.rendering.image_grid import GridRow, draw_image_grid


def test_a_grid_shows_all_panels_and_the_legend():
    red, blue = (np.full((40, 40, 3), color, np.uint8) for color in ((200, 0, 0), (0, 0, 200)))
    rows = [GridRow([red, blue], f"row {number}") for number in range(3)]
    grid = draw_image_grid(["a", "b"], rows, {"pet": (1, 250, 3)})
    pixels = np.asarray(grid)
    for color in ((200, 0, 0), (0, 0, 200)):
        assert (pixels == color).all(-1).sum() == 3 * 240**2
    assert (pixels == (1, 250, 3)).all(-1).sum() > 100


def test_panels_of_any_shape_are_enlarged_by_the_same_whole_factor():
    red, blue = (
        np.full((*shape, 3), color, np.uint8)
        for shape, color in (((40, 80), (200, 0, 0)), ((50, 20), (0, 0, 200)))
    )
    pixels = np.asarray(draw_image_grid(["a"], [GridRow([red], "1"), GridRow([blue], "2")], {}))
    for shape, color in (((40, 80), (200, 0, 0)), ((50, 20), (0, 0, 200))):
        rows, columns = np.nonzero((pixels == color).all(-1))
        assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == (3 * shape[0], 3 * shape[1])
        assert len(rows) == 9 * shape[0] * shape[1]
