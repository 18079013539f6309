"""Losses per image, in pure Keras. Pixels labelled "ignore" cost nothing.

Cross-entropy looks at each pixel alone; soft Dice (Milletari et al., "V-Net", 2016, https://arxiv.org/abs/1606.04797)
and Lovasz (Berman et al., 2018, https://arxiv.org/abs/1705.08790) look at the overlap of each class as a whole, so that
a thin class counts as much as a large one.
"""

import keras
from keras import ops

from petseg.config.params import LossParams
from petseg.core.labels import IGNORE_LABEL

_SMOOTH = 1.0  # pixels; keeps Dice defined for a class that is absent


def segmentation_loss(
    mask: keras.KerasTensor, logits: keras.KerasTensor, params: LossParams
) -> keras.KerasTensor:
    """The weighted sum of the losses: mask (B, H, W) uint8, logits (B, H, W, N) float32 to (B,)."""
    loss = cross_entropy(mask, logits, params)
    if params.dice_weight:
        loss = loss + params.dice_weight * dice_loss(mask, logits)
    if params.lovasz_weight:
        loss = loss + params.lovasz_weight * lovasz_loss(mask, logits)
    return loss


def cross_entropy(
    mask: keras.KerasTensor, logits: keras.KerasTensor, params: LossParams
) -> keras.KerasTensor:
    """Mean of -log p(true class) over the counted pixels, (B,); 0 for an image that is ignored whole.

    Focal weighting is Lin et al.'s (2017, https://arxiv.org/abs/1708.02002).
    """
    counted, labels = _counted(mask)
    hard = ops.sparse_categorical_crossentropy(labels, logits, from_logits=True)  # (B, H, W)
    per_pixel = hard
    if params.label_smoothing:
        per_pixel = -ops.sum(
            _smoothed_labels(mask, logits.shape[-1], params) * ops.log_softmax(logits), -1
        )
    if params.focal_gamma:
        per_pixel = per_pixel * (1.0 - ops.exp(-hard)) ** params.focal_gamma
    return ops.sum(per_pixel * counted, (1, 2)) / ops.maximum(ops.sum(counted, (1, 2)), 1.0)


def dice_loss(mask: keras.KerasTensor, logits: keras.KerasTensor) -> keras.KerasTensor:
    """1 - the mean over classes of soft Dice, (B,): 0 for a sure and perfect prediction, near 1 for a wrong one."""
    truth, counted = _one_hot(mask, logits.shape[-1])
    probability = ops.softmax(logits) * counted
    overlap = ops.sum(truth * probability, (1, 2))  # (B, N)
    size = ops.sum(truth, (1, 2)) + ops.sum(probability, (1, 2))
    return 1.0 - ops.mean((2.0 * overlap + _SMOOTH) / (size + _SMOOTH), -1)


def lovasz_loss(mask: keras.KerasTensor, logits: keras.KerasTensor) -> keras.KerasTensor:
    """The convex extension of 1 - IoU, mean over the classes of the picture, (B,); 0 for one that is ignored whole."""
    truth, counted = (_flat(x) for x in _one_hot(mask, logits.shape[-1]))  # (B, P, N), (B, P, 1)
    error = ops.abs(truth - _flat(ops.softmax(logits))) * counted
    order = ops.argsort(-error, axis=1)  # the worst pixels first
    error, truth = ops.take_along_axis(error, order, 1), ops.take_along_axis(truth, order, 1)
    size = ops.sum(truth, 1, keepdims=True)  # (B, 1, N)
    missed = ops.cumsum(truth, 1)  # were the pixels so far wrong, and no other
    union = size + ops.cumsum(1.0 - truth, 1)
    distance = 1.0 - (size - missed) / ops.maximum(union, 1.0)
    step = ops.concatenate([distance[:, :1], distance[:, 1:] - distance[:, :-1]], 1)
    loss = ops.sum(error * ops.stop_gradient(step), 1)  # (B, N)
    there = ops.cast(size[:, 0] > 0, keras.config.floatx())
    return ops.sum(loss * there, -1) / ops.maximum(ops.sum(there, -1), 1.0)


def _smoothed_labels(
    mask: keras.KerasTensor, classes: int, params: LossParams
) -> keras.KerasTensor:
    """Target probabilities (B, H, W, N), which sum to 1 for each counted pixel."""
    truth, _ = _one_hot(mask, classes)
    return (1.0 - params.label_smoothing) * truth + params.label_smoothing / classes


def _one_hot(mask: keras.KerasTensor, classes: int) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """(B, H, W, N), all 0 where ignored, and which pixels count, (B, H, W, 1)."""
    counted, labels = _counted(mask)
    return ops.one_hot(labels, classes, dtype=keras.config.floatx()) * counted[..., None], counted[
        ..., None
    ]


def _counted(mask: keras.KerasTensor) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """Which pixels count, (B, H, W) of 0.0 and 1.0, and int32 labels with 0 in place of "ignore"."""
    labels = ops.cast(mask, "int32")
    counted = ops.not_equal(labels, IGNORE_LABEL)
    return ops.cast(counted, keras.config.floatx()), ops.where(counted, labels, 0)


def _flat(x: keras.KerasTensor) -> keras.KerasTensor:
    """(B, H, W, C) to (B, H * W, C)."""
    return ops.reshape(x, (ops.shape(x)[0], -1, x.shape[-1]))
