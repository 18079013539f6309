"""Losses per image, in pure Keras. Pixels labeled "ignore" have no influence.

Cross-entropy looks at each pixel alone. Soft Dice (Milletari et al., "V-Net", 2016,
https://arxiv.org/abs/1606.04797) and Lovász (Berman et al., 2018, https://arxiv.org/abs/1705.08790)
measure the overlap of each class, so that a thin class counts as much as a large one.
"""

import keras
from keras import ops

from petseg.config.train_params import LossParams
from petseg.core.labels import IGNORE_LABEL

_DICE_SMOOTHING = 1.0  # pixels; defines Dice for an absent class


def segmentation_loss(
    mask: keras.KerasTensor, logits: keras.KerasTensor, params: LossParams
) -> keras.KerasTensor:
    """Return the weighted sum of the losses: mask (B, H, W) uint8, logits (B, H, W, N) to (B,)."""
    loss = cross_entropy(mask, logits, params)
    if params.dice_weight:
        loss = loss + params.dice_weight * dice_loss(mask, logits)
    if params.lovasz_weight:
        loss = loss + params.lovasz_weight * lovasz_loss(mask, logits)
    return loss


def cross_entropy(
    mask: keras.KerasTensor, logits: keras.KerasTensor, params: LossParams
) -> keras.KerasTensor:
    """Return the mean of -log p(true class) over the counted pixels, (B,); 0 if there are none.

    The focal weighting is that of Lin et al., 2017, https://arxiv.org/abs/1708.02002. Class weights
    multiply -log p, and the mean isn't divided by them.
    """
    counted, labels = _counted(mask)
    hard = ops.sparse_categorical_crossentropy(labels, logits, from_logits=True)  # (B, H, W)
    per_pixel = hard
    if params.label_smoothing:
        target = _smoothed_labels(mask, logits.shape[-1], params)
        per_pixel = -ops.sum(target * ops.log_softmax(logits), -1)
    if params.focal_gamma:
        wrong = 1.0 - ops.exp(-hard)
        if params.focal_gamma < 1:  # the power's slope at 0 is infinite
            wrong = ops.maximum(wrong, keras.config.epsilon())
        per_pixel = per_pixel * wrong**params.focal_gamma
    if params.class_weights != "none":
        per_pixel = per_pixel * ops.take(_weights(params, logits.shape[-1]), labels)
    return ops.sum(per_pixel * counted, (1, 2)) / ops.maximum(ops.sum(counted, (1, 2)), 1.0)


def dice_loss(mask: keras.KerasTensor, logits: keras.KerasTensor) -> keras.KerasTensor:
    """Return 1 - the mean soft Dice over classes, (B,): 0 for a perfect, confident prediction."""
    truth, counted = _one_hot(mask, logits.shape[-1])
    probability = ops.softmax(logits) * counted
    overlap = ops.sum(truth * probability, (1, 2))  # (B, N)
    size = ops.sum(truth, (1, 2)) + ops.sum(probability, (1, 2))
    return 1.0 - ops.mean((2.0 * overlap + _DICE_SMOOTHING) / (size + _DICE_SMOOTHING), -1)


def lovasz_loss(mask: keras.KerasTensor, logits: keras.KerasTensor) -> keras.KerasTensor:
    """Return the convex extension of 1 - IoU, mean over the image's true classes, (B,).

    It is 0 for an image without counted pixels.
    """
    truth, counted = _one_hot(mask, logits.shape[-1])
    truth, counted = _flatten(truth), _flatten(counted)  # (B, P, N), (B, P, 1)
    error = ops.abs(truth - _flatten(ops.softmax(logits))) * counted
    order = ops.argsort(-error, axis=1)  # the worst pixels first
    error, truth = ops.take_along_axis(error, order, 1), ops.take_along_axis(truth, order, 1)
    size = ops.sum(truth, 1, keepdims=True)  # (B, 1, N)
    missed = ops.cumsum(truth, 1)  # if exactly the pixels so far were wrong
    union = size + ops.cumsum(1.0 - truth, 1)
    distance = 1.0 - (size - missed) / ops.maximum(union, 1.0)
    step = ops.concatenate([distance[:, :1], distance[:, 1:] - distance[:, :-1]], 1)
    loss = ops.sum(error * ops.stop_gradient(step), 1)  # (B, N)
    is_present = ops.cast(size[:, 0] > 0, keras.config.floatx())
    return ops.sum(loss * is_present, -1) / ops.maximum(ops.sum(is_present, -1), 1.0)


def _weights(params: LossParams, num_classes: int) -> keras.KerasTensor:
    """Return the weight of each class, (N,), from the table that `weigh_classes` has completed."""
    table = params.class_weights
    assert isinstance(table, dict)
    assert len(table) == num_classes
    return ops.convert_to_tensor(list(table.values()), keras.config.floatx())


def _smoothed_labels(
    mask: keras.KerasTensor, num_classes: int, params: LossParams
) -> keras.KerasTensor:
    """Return target probabilities (B, H, W, N), which sum to 1 for each counted pixel."""
    truth, _ = _one_hot(mask, num_classes)
    return (1.0 - params.label_smoothing) * truth + params.label_smoothing / num_classes


def _one_hot(
    mask: keras.KerasTensor, num_classes: int
) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """Return one-hot labels (B, H, W, N), 0 where ignored, and which pixels count (B, H, W, 1)."""
    counted, labels = _counted(mask)
    counted = counted[..., None]
    return ops.one_hot(labels, num_classes, dtype=keras.config.floatx()) * counted, counted


def _counted(mask: keras.KerasTensor) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """Return which pixels count, 0.0 or 1.0, and int32 labels with "ignore" replaced by 0."""
    labels = ops.cast(mask, "int32")
    counted = ops.not_equal(labels, IGNORE_LABEL)
    return ops.cast(counted, keras.config.floatx()), ops.where(counted, labels, 0)


def _flatten(x: keras.KerasTensor) -> keras.KerasTensor:
    """Reshape (B, H, W, C) to (B, H * W, C)."""
    return ops.reshape(x, (ops.shape(x)[0], -1, x.shape[-1]))
