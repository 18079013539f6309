"""How wrong a mask looks: drawn mistakes, given a model that is sure of the truth."""

import numpy as np
import pytest

from petseg.label_review.judge import judge

NAMES = ("background", "cat", "dog")


@pytest.fixture
def truth():
    """A cat on the left and a smaller dog on the right, on the background."""
    mask = np.zeros((32, 32), np.uint8)
    mask[10:24, 4:14] = 1
    mask[6:14, 20:28] = 2
    return mask


def probabilities_of(mask, certainty=0.94, num_classes=3):
    rest = (1 - certainty) / (num_classes - 1)
    return np.where(np.eye(num_classes, dtype=bool)[mask], certainty, rest).astype(np.float32)


def verdict(mask, truth, **kwargs):
    return judge(mask, probabilities_of(truth, **kwargs), NAMES, background=0)


def changed(mask, old, new):
    return np.where(mask == old, new, mask).astype(np.uint8)


def test_a_mask_that_the_model_agrees_with_has_a_score_of_0(truth):
    assert verdict(truth, truth) == verdict(truth, truth, certainty=0.5)
    assert (verdict(truth, truth).score, verdict(truth, truth).finding) == (0, "")


def test_disagreement_counts_by_the_model_s_confidence(truth):
    mask = changed(truth, 1, 0)
    sure, unsure = (verdict(mask, truth, certainty=c).score for c in (0.94, 0.5))
    pixels, smoothing = 140, 0.01 * 1024
    assert sure == pytest.approx(0.91 * pixels / (pixels + smoothing), rel=1e-3)
    assert unsure == pytest.approx(0.25 * pixels / (pixels + smoothing), rel=1e-3)


def test_the_score_is_that_of_the_worst_class(truth):
    large, small = (verdict(changed(truth, label, 0), truth).score for label in (1, 2))
    assert large == pytest.approx(small, abs=0.1)
    assert small > 0.7


def test_a_few_wrong_pixels_are_no_mistake(truth):
    predicted = truth.copy()
    predicted[30, 30] = 2
    mask = changed(truth, 2, 0)
    assert verdict(mask, changed(predicted, 2, 0)).finding == ""
    predicted = changed(truth, 2, 0)
    predicted[30, 30] = 2
    assert verdict(mask, predicted).score < 0.1


@pytest.mark.parametrize(
    ("mistake", "finding"),
    [
        (np.zeros_like, "empty, but the model sees cat (14% of the image), dog (6% of the image)"),
        (lambda m: np.full_like(m, 255), "no pixel belongs to a class"),
        (lambda m: changed(changed(changed(m, 1, 9), 2, 1), 9, 2), "cat and dog look swapped"),
        (lambda m: changed(changed(changed(m, 0, 9), 1, 0), 9, 1), "background and cat look swapped"),
        (lambda m: m[:, ::-1], "looks mirrored"),
        (lambda m: m[::-1], "looks upside down"),
        (lambda m: m[::-1, ::-1], "looks turned by 180 degrees"),
        (np.rot90, "looks turned by -90 degrees"),
        (
            lambda m: np.roll(m, (-4, 3), (0, 1)),
            "fits better if moved by -3 px to the right and +4 px down",
        ),
        (lambda m: changed(m, 2, 0), "lacks dog (6% of the image), which the model sees"),
        (lambda m: np.where(np.arange(32) < 12, m, 0).astype(np.uint8), "lacks dog (6% of the image), which the model sees"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(truth, mistake, finding):
    found = verdict(mistake(truth), truth)
    assert found.finding == finding
    assert found.score > 0.5


def test_a_class_that_the_model_sees_nowhere_is_named(truth):
    assert verdict(truth, changed(truth, 2, 0)).finding == "has dog, which the model sees nowhere"


def test_another_outline_is_named(truth):
    mask = truth.copy()
    mask[10:24, 4:9] = 0
    assert verdict(mask, truth).finding == "the model draws cat differently"


def test_ignored_pixels_have_no_influence(truth):
    mask = truth.copy()
    mask[10:24] = 255
    assert verdict(mask, truth).score == 0
    predicted = truth.copy()
    predicted[12:20] = 2
    assert verdict(mask, predicted).score == 0


def test_masks_need_neither_a_background_nor_a_square(truth):
    mask = truth[:24]
    found = judge(mask[::-1], probabilities_of(mask), ("a", "b", "c"), background=None)
    assert found.finding == "looks upside down"
