"""Where an image lies in the network's input, for images and inputs of any shape."""

import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from petseg.core.geometry import (
    Box,
    ImageSize,
    Placement,
    describe_input,
    place,
    whole_size,
)

SIDES = st.integers(1, 65_500)
SIZES = st.builds(ImageSize, *[st.integers(1, 64).map(lambda n: 32 * n)] * 2)
WIDE = ImageSize(32, 64)


@pytest.mark.parametrize(
    ("resize", "height", "width", "source", "target"),
    [
        ("stretch", 100, 300, (0, 0, 100, 300), (0, 0, 32, 64)),
        ("letterbox", 100, 200, (0, 0, 100, 200), (0, 0, 32, 64)),
        ("letterbox", 100, 300, (0, 0, 100, 300), (5, 0, 21, 64)),
        ("letterbox", 300, 100, (0, 0, 300, 100), (0, 26, 32, 11)),
        ("letterbox", 16, 16, (0, 0, 16, 16), (0, 16, 32, 32)),  # enlarged
        ("letterbox", 1, 5000, (0, 0, 1, 5000), (15, 0, 1, 64)),
        ("crop", 100, 200, (0, 0, 100, 200), (0, 0, 32, 64)),
        ("crop", 100, 300, (0, 50, 100, 200), (0, 0, 32, 64)),
        ("crop", 300, 100, (125, 0, 50, 100), (0, 0, 32, 64)),
        ("crop", 1, 5000, (0, 2499, 1, 2), (0, 0, 32, 64)),
        ("crop", 5000, 1, (2499, 0, 1, 1), (0, 0, 32, 64)),
    ],
)
def test_a_placement_is_centered_and_keeps_the_shape(resize, height, width, source, target):
    assert place(height, width, WIDE, resize) == Placement(Box(*source), Box(*target))


@given(SIDES, SIDES, SIZES)
def test_letterbox_and_crop_lie_inside_touch_two_edges_and_keep_the_shape(height, width, size):
    for outer, resize in ((size, "letterbox"), ((height, width), "crop")):
        source, target = place(height, width, size, resize)
        inner = target if resize == "letterbox" else source
        assert (source if resize == "letterbox" else target) == (
            0,
            0,
            *((height, width) if resize == "letterbox" else size),
        )
        assert inner.height == outer[0] or inner.width == outer[1]
        for start, length, whole in zip(inner[:2], inner[2:], outer, strict=True):
            assert length >= 1
            assert 0 <= whole - (start + length) - start <= 1
        # The exact other side is within half a pixel, unless that would be none at all.
        exact = (source.height / source.width) * (target.width / target.height)
        tolerance = 0.5 / min(inner.height, inner.width) + 1e-9
        assert min(inner[2:]) == 1 or exact == pytest.approx(1, rel=2 * tolerance)


@given(SIDES, SIDES, SIZES, st.sampled_from(["stretch", "letterbox", "crop"]))
def test_the_whole_image_is_covered_at_the_scale_of_its_placement(height, width, size, resize):
    source, target = placement = place(height, width, size, resize)
    whole = whole_size(height, width, placement)
    for length, window in zip(whole, target[2:], strict=True):
        assert window <= length <= 16 * window
    if resize != "crop":
        assert whole == target[2:]
    elif max(whole) < 16 * min(target[2:]):
        assert whole.height == pytest.approx(height * target.height / source.height, abs=0.5)
        assert whole.width == pytest.approx(width * target.width / source.width, abs=0.5)


@pytest.mark.parametrize("resize", ["stretch", "letterbox", "crop"])
@pytest.mark.parametrize("shape", [(1, 1), (375, 500), (500, 375), (65_500, 65_500), (3, 65_500)])
def test_tensors_in_a_graph_are_placed_as_ints_are(resize, shape):
    @tf.function
    def in_graph(sides):
        placement = place(sides[0], sides[1], ImageSize(2048, 96), resize)
        return [tf.stack(list(box)) for box in placement]

    boxes = [box.numpy().tolist() for box in in_graph(tf.constant(shape, tf.int32))]
    assert boxes == [list(box) for box in place(*shape, ImageSize(2048, 96), resize)]


def test_a_size_is_described_as_width_and_height():
    assert describe_input(ImageSize(96, 96), "stretch") == "96 px"
    assert describe_input(ImageSize(64, 96), "crop") == "96x64 px (crop)"
