"""The size proposed for the network: 256 px, more for small objects, never more than there is.

Its shape is that of the images if they share one.
"""

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
        ([(1920, 1080)], [0.0001], (384, 672)),
        ([(120, 90)], [0.2], (96, 128)),
        ([(1000, 20)], [0.2], (32, 928)),
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


def test_without_images_no_size_is_proposed():
    assert propose_image_size([], []) is None
