import numpy as np
import pytest

from petseg.datasets.synthetic.draw import draw_pet
from petseg.datasets.synthetic.pose import NUM_BREEDS
from petseg.datasets.synthetic.shapes import Part, capsule


def test_a_picture_follows_from_seed_and_index_alone():
    first, again = draw_pet(3, 5, 64), draw_pet(3, 5, 64)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], draw_pet(4, 5, 64)[0])
    assert not np.array_equal(first[0], draw_pet(3, 6, 64)[0])


def test_pictures_are_uint8_and_trimaps_hold_the_oxford_values():
    for index in range(NUM_BREEDS):
        image, trimap, breed = draw_pet(0, index, 64)
        assert (image.shape, image.dtype) == ((64, 64, 3), np.uint8)
        assert (trimap.shape, trimap.dtype) == ((64, 64), np.uint8)
        assert set(np.unique(trimap)) <= {1, 2, 3}
        assert breed == index


def test_every_class_has_a_fair_share_of_the_pixels():
    trimaps = np.stack([draw_pet(0, index, 64)[1] for index in range(60)])
    shares = [np.mean(trimaps == value) for value in (1, 2, 3)]
    assert 0.15 < shares[0] < 0.4
    assert 0.5 < shares[1] < 0.8
    assert 0.08 < shares[2] < 0.2


def test_the_border_separates_pet_and_background():
    _, trimap, _ = draw_pet(0, 1, 128)
    pet, background = trimap == 1, trimap == 2
    for axis in (0, 1):
        ahead = np.roll(background, 1, axis)
        touching = pet & ahead
        touching[(0, slice(None)) if axis == 0 else (slice(None), 0)] = False
        assert not touching.any()


@pytest.mark.parametrize(
    ("point", "distance"), [((0.5, 0.0), -0.1), ((0.5, 0.3), 0.2), ((-0.3, 0.0), 0.2)]
)
def test_the_distance_to_a_capsule_is_exact(point, distance):
    u, v = np.full((1, 1), point[0], np.float32), np.full((1, 1), point[1], np.float32)
    assert capsule(u, v, Part((0.0, 0.0), (1.0, 0.0), 0.1, 0.1))[0][0, 0] == pytest.approx(
        distance, abs=1e-6
    )
