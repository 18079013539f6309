"""The size proposed for the network: 256 px, more for small objects, never more than there is.

Its shape is that of the images if they share one.
"""

import math

import pytest

from petseg.inspection.image_size import propose_image_size


@pytest.mark.parametrize(
    ("sizes", "objects", "expected"),
    [
        ([(500, 480)] * 9, [0.2] * 9, (256, 256)),
        ([(640, 480)] * 9, [0.2] * 9, (224, 288)),
        ([(480, 640)] * 9, [0.2] * 9, (288, 224)),
        ([(640, 480)] * 9 + [(480, 640)], [0.2], (224, 288)),
        ([(640, 480)] * 8 + [(480, 640)] * 2, [0.2], (256, 256)),  # no shared shape
        ([(640, 480), (650, 480), (640, 470)], [0.2], (224, 288)),
        ([(960, 540)], [0.0001], (384, 672)),
        ([(120, 90)], [0.2], (96, 128)),
        ([(1000, 20)], [0.2], (32, 928)),
        ([(20_000, 32)], [0.2], (32, 2048)),  # no side above the limit of preprocess.image_size
        ([(100, 4000)], [0.001], (2048, 64)),
        ([(48, 40)], [0.2], (32, 32)),
        ([(4, 4)], [], (32, 32)),
        ([(100, 100)], [0.2], (96, 96)),
        ([(500, 480)], [0.002], (384, 384)),  # 16 px are 1/22 of the side
        ([(600, 600)], [0.0001], (512, 512)),
        ([(360, 340)], [0.0001], (352, 352)),
        ([(500, 500)], [0.0001] + [0.2] * 20, (256, 256)),  # a single small object
        ([(100, 100), (600, 600), (600, 600)], [0.2], (256, 256)),  # the median counts
    ],
)
def test_the_proposed_size_follows_the_rule(sizes, objects, expected):
    proposed = propose_image_size(sizes, objects)
    assert proposed.value == expected


@pytest.mark.parametrize(
    ("sizes", "widths", "tiles"),
    [
        ([(1000, 900)], [0.01], None),  # below a megapixel
        ([(4000, 3000)], [0.05], None),  # 26 px wide at 512 px
        ([(4000, 3000)], [0.01], (544, 68)),  # 35 px become 16
        ([(4000, 3000)], [0.001], (256, 32)),  # 3 px: nothing is enlarged
        ([(4000, 3000)], [0.01] + [0.2] * 20, None),  # a single small object
        ([(10_000, 9_000)], [0.5], (2048, 256)),  # too large as a whole
        ([(1200, 900)] * 2 + [(10_000, 9_000)], [0.5], (1024, 128)),  # one is too large
        ([(10_000, 9_000)], [], (2048, 256)),
    ],
)
def test_tiles_are_proposed_for_small_objects_and_huge_images(sizes, widths, tiles):
    side = math.sqrt(math.prod(sizes[0]))
    proposed = propose_image_size(sizes, [0.2], [(width * side, side) for width in widths])
    assert (proposed.tiles and (proposed.tiles.size, proposed.tiles.overlap)) == tiles
    if tiles:
        assert proposed.value == (256, 256)


def test_tiles_have_the_scale_of_the_images_whose_parts_are_small():
    parts = [(30.0, 1500.0), (30.0, 20_000.0)]
    assert propose_image_size([(1500, 1500)] * 2 + [(20_000, 20_000)], [], parts).tiles.size == 480


def test_without_images_no_size_is_proposed():
    assert propose_image_size([], []) is None
