"""Class weights and oversampling, from the manifest's pixels."""

from dataclasses import replace

import numpy as np
import pytest

from petseg.core.errors import PetsegError
from petseg.shards.manifest import read_manifest
from petseg.training.imbalance import class_repeats, describe_imbalance, weigh_classes
from support.robustness import matches
from support.training import change_params

SECTION = "Training"
CASES = {
    "class weights for classes that don't exist": "train.loss.class_weights names 'cat', 'dog', but the classes are pet, background, border; correct the names or remove them.",
}  # fmt: skip


@pytest.fixture
def manifest(tiny_shards):
    manifest = read_manifest(tiny_shards)
    pixels = {"pet": 90_000, "background": 900_000, "border": 10_000, "ignored": 5_000}
    train = replace(manifest.splits["train"], pixels=pixels)
    return replace(manifest, splits=manifest.splits | {"train": train})


def weights_of(params, manifest, value):
    loss = change_params(params, train__loss__class_weights=value).train.loss
    return weigh_classes(loss, manifest).class_weights


def test_balanced_weights_follow_the_root_of_the_share_and_have_the_mean_1(tiny_params, manifest):
    weights = weights_of(tiny_params, manifest, "balanced")
    assert list(weights) == list(manifest.classes)
    assert weights["border"] / weights["pet"] == pytest.approx(3)
    assert weights["pet"] / weights["background"] == pytest.approx(np.sqrt(10))
    mean = 0.09 * weights["pet"] + 0.9 * weights["background"] + 0.01 * weights["border"]
    assert mean == pytest.approx(1)


def test_a_class_left_out_of_the_table_has_weight_1(tiny_params, manifest):
    weights = weights_of(tiny_params, manifest, {"border": 5})
    assert weights == {"pet": 1.0, "background": 1.0, "border": 5.0}
    assert weights_of(tiny_params, manifest, "none") == "none"


def test_weights_for_unknown_classes_are_an_error_that_names_all(tiny_params, manifest):
    with pytest.raises(PetsegError) as caught:
        weights_of(tiny_params, manifest, {"cat": 5, "pet": 1, "dog": 2})
    (case,) = CASES.values()
    assert matches(case, str(caught.value), None)


def test_repeats_follow_the_root_of_the_share_below_the_threshold(manifest):
    assert class_repeats(0.09, manifest) == pytest.approx((1, 1, 3))
    assert class_repeats(0.36, manifest) == pytest.approx((2, 1, 6))
    assert class_repeats(0.999, manifest)[2] == pytest.approx(np.sqrt(99.9))
    rarer = replace(manifest.splits["train"], pixels=manifest.splits["train"].pixels | {"pet": 0})
    rarer = replace(manifest, splits=manifest.splits | {"train": rarer})
    assert class_repeats(0.09, rarer)[0] == 10  # at most
    assert class_repeats(0.01, manifest) == class_repeats(0.0, manifest) == ()


def test_the_log_says_what_weights_and_oversampling_do(tiny_params, manifest):
    def said(**values):
        params = change_params(tiny_params, **values).train
        loss = weigh_classes(params.loss, manifest)
        return describe_imbalance(params.model_copy(update={"loss": loss}), manifest)

    assert said() == []
    assert said(train__loss__class_weights={"pet": 2.5}) == [
        "Class weights: pet 2.5, background 1, border 1."
    ]
    assert said(train__oversample_below=0.09) == [
        "Images with a class below 9.00% of the pixels are drawn more often: border (1.00% of the "
        "pixels) 3.0 times."
    ]
    assert said(train__oversample_below=0.01) == [
        "No class has less than 1.00% of the pixels, so no image is drawn more often."
    ]
