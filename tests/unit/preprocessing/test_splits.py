"""The assignment of images to splits."""

import numpy as np
import pytest

from petseg.core.hashing import NO_GROUP, group_of
from petseg.preprocessing.splits import is_used, is_validation, split_of, widen_val_fraction

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


@pytest.mark.parametrize("group", [NO_GROUP, r"(.*_\d)"])
def test_a_widened_fraction_draws_the_first_that_a_larger_one_would(tiny_params, group):
    def validation(fraction):
        params = tiny_params.preprocess.model_copy(update={"val_fraction": fraction})
        splits = [split_of("train", *image, params, seed=0, group=group) for image in IMAGES]
        return {name for (name, _), split in zip(IMAGES, splits, strict=True) if split == "val"}

    assert not validation(1e-9)
    drawn = validation(widen_val_fraction(IMAGES, 1e-9, 0, group))
    assert len({group_of(name, group) for name in drawn}) == 1
    assert drawn <= validation(0.2)
    assert widen_val_fraction(iter(IMAGES), 0.2, 0, group) == 0.2
    assert widen_val_fraction(IMAGES[:1], 1e-9, 0, group) == 1e-9  # it would draw all
