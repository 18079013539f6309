"""The size proposed for the network: 256 px, more for small objects, never more than there is."""

import pytest

from petseg.inspection.image_size import propose_image_size


@pytest.mark.parametrize(
    ("sizes", "objects", "expected"),
    [
        ([(640, 480)] * 9, [0.2] * 9, 256),
        ([(48, 40)], [0.2], 32),
        ([(4, 4)], [], 32),
        ([(100, 100)], [0.2], 96),
        ([(640, 480)], [0.002], 384),  # 16 px are 1/22 of the side
        ([(640, 480)], [0.0001], 512),
        ([(400, 300)], [0.0001], 352),
        ([(640, 480)], [0.0001] + [0.2] * 20, 256),  # a single small object
        ([(100, 100), (640, 480), (640, 480)], [0.2], 256),  # the median counts
    ],
)
def test_the_proposed_size_follows_the_rule(sizes, objects, expected):
    proposed = propose_image_size(sizes, objects)
    assert proposed.value == expected
    assert proposed.value % 32 == 0


def test_without_images_no_size_is_proposed():
    assert propose_image_size([], []) is None
