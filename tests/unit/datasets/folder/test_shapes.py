"""Polygons, ellipses, run lengths and bitmaps become the pixels whose centers lie inside."""

import base64
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from petseg.core.errors import PetsegError
from petseg.datasets.folder.shapes.coco import CocoLabels, _Rle
from petseg.datasets.folder.shapes.cvat import CvatLabels
from petseg.datasets.folder.shapes.drawing import (
    Bitmap,
    Polygons,
    RunLengths,
    Shape,
    check_size,
    draw_shapes,
    ellipse,
    polygon,
)
from petseg.datasets.folder.shapes.labelme import LabelMeFile

SIZE = (30, 20)


def drawn(*shapes):
    labels = draw_shapes(shapes, SIZE, Path("a.json"))
    assert labels.size == SIZE
    return np.array(labels.values, object)[labels.indices]


def pixels(*rings):
    shape = Shape("cat", Polygons(tuple(map(polygon, rings))))
    return drawn(shape) == "cat"


def is_inside(x, y, ring):
    """The even-odd rule, one point at a time."""
    inside = False
    for (x1, y1), (x2, y2) in zip(ring, np.roll(ring, -1, axis=0), strict=True):
        if (y1 <= y) != (y2 <= y) and x1 + (y - y1) * (x2 - x1) / (y2 - y1) <= x:
            inside = not inside
    return inside


def test_a_rectangle_has_the_pixels_between_its_corners():
    expected = np.zeros((20, 30), bool)
    expected[3:7, 2:8] = True
    assert np.array_equal(pixels([2, 3, 8, 3, 8, 7, 2, 7]), expected)
    assert np.array_equal(pixels([2, 7, 8, 7, 8, 3, 2, 3]), expected)  # the other way round
    assert np.array_equal(pixels([2.4, 2.6, 7.6, 2.6, 7.6, 7.4, 2.4, 7.4]), expected)


@settings(deadline=None, max_examples=60, derandomize=True)
@given(st.lists(st.tuples(st.integers(-80, 400), st.integers(-80, 300)), min_size=3, max_size=9))
def test_a_pixel_is_inside_if_its_center_is(points):
    ring = np.array(points) / 10 + 0.03  # no center is on an edge's end
    found = pixels(ring.ravel().tolist())
    for y in range(20):
        for x in range(30):
            assert found[y, x] == is_inside(x + 0.5, y + 0.5, ring), (x, y)


def test_polygons_that_share_an_edge_neither_overlap_nor_leave_a_gap():
    left, right = [0, 0, 17.3, 0, 9.1, 20, 0, 20], [17.3, 0, 30, 0, 30, 20, 9.1, 20]
    both = pixels(left).astype(int) + pixels(right)
    assert np.array_equal(both, np.ones((20, 30)))


def test_a_polygon_may_reach_beyond_the_image():
    assert pixels([-10, -10, 50, -10, 50, 50, -10, 50]).all()
    assert not pixels([100, 100, 110, 100, 110, 110]).any()


def test_several_rings_are_united():
    found = pixels([0, 0, 10, 0, 10, 10, 0, 10], [5, 5, 15, 5, 15, 15, 5, 15])
    assert found.sum() == 100 + 100 - 25


def test_the_area_of_an_ellipse_is_close_to_the_true_one():
    found = drawn(Shape("cat", Polygons((ellipse(15, 10, 12, 6, 20),)))) == "cat"
    assert found.sum() == pytest.approx(np.pi * 12 * 6, rel=0.03)
    assert Polygons((ellipse(15, 10, 12, 6),)).area == pytest.approx(np.pi * 12 * 6, rel=0.01)


def test_run_lengths_go_by_row_or_by_column():
    mask = np.zeros((20, 30), bool)
    mask[3:7, 2:8] = True
    for by_column in (False, True):
        flat = (mask.T if by_column else mask).ravel()
        edges = np.flatnonzero(np.diff(flat)) + 1
        counts = np.diff([0, *edges, len(flat)])
        region = RunLengths(counts, SIZE, by_column=by_column)
        assert np.array_equal(drawn(Shape("cat", region)) == "cat", mask)
        assert region.area == 24


def test_a_bitmap_is_where_its_corner_is():
    found = drawn(Shape("cat", Bitmap(np.eye(3, dtype=bool), 4, 5)))
    assert [tuple(place) for place in np.argwhere(found == "cat")] == [(5, 4), (6, 5), (7, 6)]


def test_later_shapes_cover_earlier_ones():
    square = Polygons((polygon([0, 0, 10, 0, 10, 10, 0, 10]),))
    smaller = Polygons((polygon([0, 0, 5, 0, 5, 5, 0, 5]),))
    found = drawn(Shape("a", square), Shape("b", smaller), Shape("a", Polygons(())))
    assert [(found == label).sum() for label in ("a", "b", "background")] == [75, 25, 500]


def test_more_than_256_labels_fit():
    square = Polygons((polygon([0, 0, 1, 0, 1, 1, 0, 1]),))
    assert drawn(*(Shape(number, square) for number in range(300)))[0, 0] == 299


@pytest.mark.parametrize(
    "region",
    [
        Bitmap(np.ones((3, 3), bool), 28, 0),
        Bitmap(np.ones((3, 3), bool), -1, 0),
        RunLengths(np.array([5, 5]), SIZE),
        RunLengths(np.array([-5, 605]), SIZE),
        RunLengths(np.array([10**9]), (10**5, 10**4)),
    ],
    ids=["beyond the right", "beyond the left", "too short", "negative", "far too large"],
)
def test_a_region_that_does_not_fit_is_an_error(region):
    with pytest.raises(PetsegError, match=r"^a\.json has an invalid shape"):
        drawn(Shape("cat", region))


BROKEN_PNG = base64.b64encode(
    b"\x89PNG\r\n\x1a\n"
    b"\0\0\0\x0dIHDR\0\0\0\x08\0\0\0\x08\x08\0\0\0\0\xe1\x64\xe1\x57"  # 8 x 8, gray
    b"\0\0\0\x05IDATx\x9c\x03\0\0crc.\0\0\0\x05\0\1\2\3helloxxxx"  # a chunk of no valid name
).decode()


@pytest.mark.parametrize("mask", [BROKEN_PNG, ""])
@pytest.mark.parametrize("x", ["0", "Infinity"])
def test_a_labelme_mask_that_cannot_be_drawn_is_an_error(tmp_path, mask, x):
    path = tmp_path / "a.json"
    shape = f'{{"label": "a", "shape_type": "mask", "points": [[{x}, 0]], "mask": "{mask}"}}'
    path.write_text(f'{{"shapes": [{shape}]}}')
    with pytest.raises(PetsegError, match=r"a\.json has an invalid shape"):
        LabelMeFile(path, "0.png").read((8, 8))


def test_a_coco_count_beyond_64_bits_is_an_error():
    labels = CocoLabels(Path("a.json"), SIZE, [("cat", _Rle(counts=[2**70], size=(20, 30)))])
    with pytest.raises(PetsegError, match=r"a\.json has an invalid object"):
        labels.read(SIZE)


@pytest.mark.parametrize(
    "mask",
    [{"rle": str(2**70), "left": "0"}, {"rle": "1,3", "left": "inf"}],
)
def test_a_cvat_number_beyond_64_bits_is_an_error(mask):
    element = Element("mask", label="cat", top="0", width="2", height="2", **mask)
    with pytest.raises(PetsegError, match=r"a\.xml has an invalid shape"):
        CvatLabels(Path("a.xml"), SIZE, (element,)).read(SIZE)


@pytest.mark.parametrize(
    "values", [[1, 2, 3, 4, 5], [0, 0, 1, 1, float("nan"), 2], [0, 0, 1, 1, 1e9, 2]]
)
def test_a_polygon_needs_whole_points_near_the_image(values):
    with pytest.raises(ValueError, match="polygon"):
        polygon(values)


def test_an_annotation_has_the_size_of_its_image_upright_or_turned():
    check_size((3, 4), (3, 4), Path("a.json"))
    check_size((3, 4), (4, 3), Path("a.json"))
    with pytest.raises(PetsegError, match="says that an image is 3x4, but it is 5x4"):
        check_size((3, 4), (5, 4), Path("a.json"))
