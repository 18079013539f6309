import numpy as np
import pytest

from petseg.datasets.synthetic.draw import draw_pet
from petseg.datasets.synthetic.pose import NUM_BREEDS
from petseg.datasets.synthetic.shapes import Part, capsule


def test_an_image_depends_only_on_seed_and_index():
    first, again = draw_pet(3, 5, 64), draw_pet(3, 5, 64)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], draw_pet(4, 5, 64)[0])
    assert not np.array_equal(first[0], draw_pet(3, 6, 64)[0])


def test_images_are_uint8_and_trimaps_have_oxford_values():
    for index in range(NUM_BREEDS):
        image, trimap, breed = draw_pet(0, index, 32)
        assert (image.shape, image.dtype) == ((32, 32, 3), np.uint8)
        assert (trimap.shape, trimap.dtype) == ((32, 32), np.uint8)
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
    assert pet.any()
    assert not (pet[1:] & background[:-1]).any()
    assert not (pet[:-1] & background[1:]).any()
    assert not (pet[:, 1:] & background[:, :-1]).any()
    assert not (pet[:, :-1] & background[:, 1:]).any()


@pytest.mark.parametrize(
    ("point", "distance"), [((0.5, 0.0), -0.1), ((0.5, 0.3), 0.2), ((-0.3, 0.0), 0.2)]
)
def test_the_distance_to_a_capsule_is_exact(point, distance):
    u, v = (np.full((1, 1), coordinate, np.float32) for coordinate in point)
    result, _ = capsule(u, v, Part((0.0, 0.0), (1.0, 0.0), 0.1, 0.1))
    assert result[0, 0] == pytest.approx(distance, abs=1e-6)
