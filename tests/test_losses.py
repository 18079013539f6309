import numpy as np
import pytest

from petseg.training.losses import cross_entropy, dice_loss, segmentation_loss

MASK = np.array([[[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 2, 2], [0, 1, 2, 255]]], np.uint8)


def logits_for(mask, sureness=20.0):
    """Logits that say the mask's class everywhere, (B, H, W, 3)."""
    return (sureness * np.eye(3)[np.where(mask == 255, 0, mask)]).astype(np.float32)


def test_a_perfect_mask_costs_nothing():
    assert cross_entropy(MASK, logits_for(MASK)).numpy() == pytest.approx(0, abs=1e-5)
    assert dice_loss(MASK, logits_for(MASK)).numpy() == pytest.approx(0, abs=1e-5)


def test_a_wrong_mask_costs_a_lot_and_a_better_one_less():
    wrong = (np.where(MASK == 255, 0, MASK) + 1) % 3
    half = np.where(np.arange(4) < 2, np.where(MASK == 255, 0, MASK), wrong)
    for loss, much in ((cross_entropy, 19.0), (dice_loss, 0.8)):
        values = [float(loss(MASK, logits_for(m))[0]) for m in (MASK, half, wrong)]
        assert values[0] < values[1] < values[2]
        assert values[2] > much


def test_cross_entropy_of_no_idea_is_the_logarithm_of_the_classes():
    assert cross_entropy(MASK, np.zeros((1, 4, 4, 3), np.float32)).numpy() == pytest.approx(np.log(3), rel=1e-6)


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
    for loss in (cross_entropy, dice_loss):
        assert np.array_equal(loss(MASK, changed), loss(MASK, logits_for(MASK)))
    nothing = np.full_like(MASK, 255)
    assert cross_entropy(nothing, changed).numpy()[0] == 0
    assert np.isfinite(segmentation_loss(nothing, changed, 0.5).numpy()[0])


def test_the_losses_are_added_picture_by_picture():
    masks = np.concatenate([MASK, MASK])
    logits = np.concatenate([logits_for(MASK), np.zeros((1, 4, 4, 3), np.float32)])
    both = segmentation_loss(masks, logits, 0.5).numpy()
    assert both.shape == (2,)
    assert both[0] == pytest.approx(0, abs=1e-5)
    assert both[1] == pytest.approx(np.log(3) + 0.5 * float(dice_loss(MASK, logits[1:])[0]), rel=1e-6)
