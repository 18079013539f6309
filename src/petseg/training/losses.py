"""Losses per picture, in pure Keras. Pixels labelled "ignore" cost nothing.

Cross-entropy looks at each pixel alone; soft Dice (Milletari et al., "V-Net", 2016, https://arxiv.org/abs/1606.04797)
looks at the overlap of each class as a whole, so that a thin class counts as much as a large one.
"""

import keras
from keras import ops

from petseg.classes import IGNORE_LABEL

_SMOOTH = 1.0  # pixels; keeps Dice defined for a class that is absent


def segmentation_loss(mask: keras.KerasTensor, logits: keras.KerasTensor, dice_weight: float) -> keras.KerasTensor:
    """Cross-entropy + dice_weight * (1 - soft Dice): mask (B, H, W) uint8, logits (B, H, W, N) float32 to (B,)."""
    loss = cross_entropy(mask, logits)
    return loss + dice_weight * dice_loss(mask, logits) if dice_weight else loss


def cross_entropy(mask: keras.KerasTensor, logits: keras.KerasTensor) -> keras.KerasTensor:
    """Mean over the counted pixels of -log p(true class), (B,); 0 for a picture that is ignored whole."""
    counted, labels = _counted(mask)
    per_pixel = ops.sparse_categorical_crossentropy(labels, logits, from_logits=True)  # (B, H, W)
    return ops.sum(per_pixel * counted, (1, 2)) / ops.maximum(ops.sum(counted, (1, 2)), 1.0)


def dice_loss(mask: keras.KerasTensor, logits: keras.KerasTensor) -> keras.KerasTensor:
    """1 - the mean over classes of soft Dice, (B,): 0 for a sure and perfect prediction, near 1 for a wrong one."""
    counted, labels = _counted(mask)
    truth = ops.one_hot(labels, logits.shape[-1], dtype="float32") * counted[..., None]  # (B, H, W, N)
    probability = ops.softmax(logits) * counted[..., None]
    overlap = ops.sum(truth * probability, (1, 2))  # (B, N)
    size = ops.sum(truth, (1, 2)) + ops.sum(probability, (1, 2))
    return 1.0 - ops.mean((2.0 * overlap + _SMOOTH) / (size + _SMOOTH), -1)


def _counted(mask: keras.KerasTensor) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """Which pixels count, (B, H, W) of 0.0 and 1.0, and int32 labels with 0 in place of "ignore"."""
    labels = ops.cast(mask, "int32")
    counted = ops.not_equal(labels, IGNORE_LABEL)
    return ops.cast(counted, "float32"), ops.where(counted, labels, 0)
