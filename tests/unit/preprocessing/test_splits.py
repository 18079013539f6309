"""The assignment of images to splits."""

import numpy as np
import pytest

from petseg.preprocessing.splits import is_used, is_validation

CATEGORIES = ("pug", "Bengal", "beagle")
IMAGES = [(f"{category}_{i}.jpg", category) for category in CATEGORIES for i in range(2000)]


def drawn(draw, fraction, seed=0):
    return np.array([draw(name, category, fraction, seed) for name, category in IMAGES])


@pytest.mark.parametrize("draw", [is_validation, is_used])
def test_each_category_gives_its_fraction(draw):
    for share in drawn(draw, 0.1).reshape(len(CATEGORIES), -1).mean(axis=1):
        assert 0.08 < share < 0.12


@pytest.mark.parametrize("draw", [is_validation, is_used])
def test_a_larger_fraction_contains_every_smaller_one(draw):
    assert np.all(drawn(draw, 0.2) >= drawn(draw, 0.1))


@pytest.mark.parametrize("draw", [is_validation, is_used])
def test_a_different_seed_draws_different_images(draw):
    assert np.any(drawn(draw, 0.1, seed=1) != drawn(draw, 0.1))


def test_validation_and_the_reduced_training_set_are_drawn_independently():
    validation, used = drawn(is_validation, 0.5), drawn(is_used, 0.5)
    assert 0.4 < used[validation].mean() < 0.6
