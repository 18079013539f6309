"""The losses, against formulas by hand."""

import numpy as np
import pytest
import tensorflow as tf

from petseg.config.train_params import LossParams
from petseg.training import losses
from petseg.training.losses import dice_loss, lovasz_loss, segmentation_loss

MASK = np.array([[[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 2, 2], [0, 1, 2, 255]]], np.uint8)
NONE = dict.fromkeys(LossParams.model_fields, 0.0) | {"class_weights": "none"}


def cross_entropy(mask, logits, **changes):
    return losses.cross_entropy(mask, logits, LossParams(**{**NONE, **changes}))


def logits_for(mask, confidence=20.0):
    """Return logits (B, H, W, 3) that predict the mask."""
    return (confidence * np.eye(3)[np.where(mask == 255, 0, mask)]).astype(np.float32)


def test_a_perfect_mask_costs_nothing():
    assert cross_entropy(MASK, logits_for(MASK)).numpy() == pytest.approx(0, abs=1e-5)
    assert dice_loss(MASK, logits_for(MASK)).numpy() == pytest.approx(0, abs=1e-5)
    assert lovasz_loss(MASK, logits_for(MASK)).numpy() == pytest.approx(0, abs=1e-5)


def test_a_wrong_mask_costs_more_than_a_half_correct_one():
    wrong = (np.where(MASK == 255, 0, MASK) + 1) % 3
    half = np.where(np.arange(4) < 2, np.where(MASK == 255, 0, MASK), wrong)
    for loss, much in ((cross_entropy, 19.0), (dice_loss, 0.8), (lovasz_loss, 0.9)):
        values = [float(loss(MASK, logits_for(m))[0]) for m in (MASK, half, wrong)]
        assert values[0] < values[1] < values[2]
        assert values[2] > much


def test_cross_entropy_of_equal_logits_is_the_log_of_the_number_of_classes():
    assert cross_entropy(MASK, np.zeros((1, 4, 4, 3), np.float32)).numpy() == pytest.approx(
        np.log(3), rel=1e-6
    )


def test_dice_by_hand():
    mask = np.array([[[0, 0, 1, 1]]], np.uint8)
    probability = np.log(np.array([[[[0.5, 0.5], [1, 1e-9], [1e-9, 1], [1e-9, 1]]]], np.float32))
    overlap, size = np.array([1.5, 2.0]), np.array([2 + 1.5, 2 + 2.5])
    assert dice_loss(mask, probability).numpy()[0] == pytest.approx(
        1 - np.mean((2 * overlap + 1) / (size + 1)), abs=1e-5
    )


def test_ignored_pixels_cost_nothing():
    changed = logits_for(MASK)
    changed[MASK == 255] = [-50, 0, 50]
    for loss in (cross_entropy, dice_loss, lovasz_loss):
        assert np.array_equal(loss(MASK, changed), loss(MASK, logits_for(MASK)))
    nothing = np.full_like(MASK, 255)
    assert cross_entropy(nothing, changed).numpy()[0] == 0
    weights = {"a": 1.0, "b": 2.0, "c": 0.5}
    everything = LossParams(**dict.fromkeys(NONE, 0.5) | {"class_weights": weights})
    assert np.isfinite(segmentation_loss(nothing, changed, everything).numpy()[0])
    assert np.array_equal(
        segmentation_loss(MASK, changed, everything),
        segmentation_loss(MASK, logits_for(MASK), everything),
    )


def test_the_losses_are_added_image_by_image():
    masks = np.concatenate([MASK, MASK])
    logits = np.concatenate([logits_for(MASK), np.zeros((1, 4, 4, 3), np.float32)])
    both = segmentation_loss(
        masks, logits, LossParams(**NONE | {"dice_weight": 0.5, "lovasz_weight": 2.0})
    ).numpy()
    assert both.shape == (2,)
    assert both[0] == pytest.approx(0, abs=1e-5)
    dice, lovasz = (float(loss(MASK, logits[1:])[0]) for loss in (dice_loss, lovasz_loss))
    assert both[1] == pytest.approx(np.log(3) + 0.5 * dice + 2.0 * lovasz, rel=1e-6)


def test_lovasz_of_a_hard_prediction_is_one_minus_iou():
    """For probabilities of 0 and 1 the extension equals 1 - IoU, averaged over the true classes."""
    rng = np.random.default_rng(0)
    truth, predicted = rng.integers(0, 3, (2, 5, 8, 8), np.uint8)
    truth[2] = np.where(truth[2] == 2, 0, truth[2])  # an image without class 2
    truth[3, :3] = 255
    expected = []
    for t, p in zip(truth, predicted, strict=True):
        t, p = t[t != 255], p[t != 255]
        classes = np.unique(t)
        expected.append(
            np.mean(
                [1 - np.sum((t == c) & (p == c)) / np.sum((t == c) | (p == c)) for c in classes]
            )
        )
    assert lovasz_loss(truth, logits_for(predicted, 60.0)).numpy() == pytest.approx(
        expected, abs=1e-5
    )


def test_gradient_steps_lower_the_lovasz_loss():
    logits = tf.Variable(np.random.default_rng(0).normal(size=(1, 4, 4, 3)).astype(np.float32))
    with tf.GradientTape() as tape:
        before = lovasz_loss(MASK, logits)
    logits.assign_sub(tape.gradient(before, logits))
    assert float(lovasz_loss(MASK, logits)[0]) < float(before[0])


def test_class_weights_multiply_each_pixel_by_its_true_class():
    weights = {"a": 1.0, "b": 2.0, "c": 0.5}
    equal = np.zeros((1, 4, 4, 3), np.float32)
    counted = MASK[MASK != 255]
    mean = np.mean(np.array(list(weights.values()))[counted])
    for changes in ({}, {"label_smoothing": 0.1}):
        loss = cross_entropy(MASK, equal, class_weights=weights, **changes)
        assert loss.numpy() == pytest.approx(mean * np.log(3), rel=1e-6)


def test_focal_weighting_follows_its_formula():
    mask = np.array([[[0, 0]]], np.uint8)
    logits = np.log(np.array([[[[0.9, 0.1], [0.3, 0.7]]]], np.float32))
    expected = -(0.1**2 * np.log(0.9) + 0.7**2 * np.log(0.3)) / 2
    assert cross_entropy(mask, logits, focal_gamma=2.0).numpy() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
def test_focal_gradients_are_finite_where_a_pixel_costs_nothing(gamma):
    logits = tf.constant(logits_for(MASK, confidence=200.0))
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = cross_entropy(MASK, logits, focal_gamma=gamma)
    assert np.isfinite(tape.gradient(loss, logits)).all()


def test_label_smoothing_mixes_in_the_uniform_distribution():
    logits = np.random.default_rng(0).normal(size=(1, 4, 4, 3)).astype(np.float32)
    logarithms = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    uniform = np.mean(-logarithms.mean(-1)[MASK != 255])
    hard = float(cross_entropy(MASK, logits)[0])
    smoothed = cross_entropy(MASK, logits, label_smoothing=0.1).numpy()
    assert smoothed == pytest.approx(0.9 * hard + 0.1 * uniform, rel=1e-5)
