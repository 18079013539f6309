"""The confusion matrix, counted in int64, and the scores computed from it.

Rows are the truth, columns the prediction. Pixels labeled "ignore" are not counted. A class that
occurs in neither truth nor prediction has an undefined IoU: it is NaN, and means skip it.
"""

from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from petseg.core.labels import IGNORE_LABEL

Matrix = NDArray[np.int64]  # (N, N), or (..., N, N) for several
Scores = NDArray[np.float64]

_PIXELS_AT_ONCE = 2**24


def count_confusion(mask: keras.KerasTensor, logits: keras.KerasTensor) -> keras.KerasTensor:
    """Count mask (B, H, W) uint8 against logits (B, H, W, N): a matrix per image, (B, N, N) int64.

    The product of one-hot vectors is exact in float32 up to 2**24 pixels per image, and runs on
    every device.
    """
    num_classes = logits.shape[-1]
    prediction = ops.argmax(logits, axis=-1)
    truth_hot = _one_hot(mask, num_classes)  # (B, P, N); all zero where ignored
    prediction_hot = _one_hot(prediction, num_classes)
    return ops.cast(ops.matmul(ops.transpose(truth_hot, (0, 2, 1)), prediction_hot), "int64")


def count_labels(mask: NDArray[np.uint8], predicted: NDArray[np.uint8], num_classes: int) -> Matrix:
    """Return the exact confusion matrix (N, N) of two masks (H, W) of any size."""
    counts = np.zeros(num_classes**2, np.int64)
    rows = max(1, _PIXELS_AT_ONCE // mask.shape[1])  # each pixel takes many times its own byte
    for start in range(0, len(mask), rows):
        truth, prediction = mask[start : start + rows], predicted[start : start + rows]
        counted = truth != IGNORE_LABEL
        pairs = truth[counted].astype(np.int64) * num_classes + prediction[counted]
        counts += np.bincount(pairs, minlength=num_classes**2)
    return counts.reshape(num_classes, num_classes)


def _one_hot(labels: keras.KerasTensor, num_classes: int) -> keras.KerasTensor:
    flat = ops.reshape(ops.cast(labels, "int32"), (ops.shape(labels)[0], -1, 1))
    return ops.cast(ops.equal(flat, ops.arange(num_classes, dtype="int32")), "float32")


def iou(matrix: Matrix) -> Scores:
    """Return the intersection over union of each class, (..., N)."""
    correct, truth, predicted = _sums(matrix)
    return ratio(correct, truth + predicted - correct)


def dice(matrix: Matrix) -> Scores:
    """Return the Dice score (F1) of each class, (..., N)."""
    correct, truth, predicted = _sums(matrix)
    return ratio(2 * correct, truth + predicted)


def accuracy(matrix: Matrix) -> Scores:
    """Return the share of counted pixels that are correct, (...)."""
    return ratio(np.trace(matrix, axis1=-2, axis2=-1), matrix.sum((-2, -1)))


def mean_defined(scores: Scores) -> Scores:
    """Return the mean over the last axis, skipping NaN; NaN if all are NaN."""
    defined = ~np.isnan(scores)
    return ratio(np.where(defined, scores, 0).sum(-1), defined.sum(-1))


def mean_iou(matrix: Matrix) -> Scores:
    """Return the mean IoU over the classes that occur, (...)."""
    return mean_defined(iou(matrix))


def frequency_weighted_iou(matrix: Matrix) -> Scores:
    """Return the mean IoU weighted by each class's share of the true pixels, (...)."""
    truth = matrix.sum(-1)
    return ratio((np.where(truth > 0, iou(matrix), 0.0) * truth).sum(-1), truth.sum(-1))


def foreground_iou(matrix: Matrix, background: int) -> Scores:
    """Return the IoU of all classes but the background, merged into one, (...)."""
    total, true_background = matrix.sum((-2, -1)), matrix[..., background, background]
    either_background = (
        matrix[..., background, :].sum(-1) + matrix[..., :, background].sum(-1) - true_background
    )
    return ratio(total - either_background, total - true_background)


def mask_true_class(matrix: Matrix, true_class: int) -> Matrix:
    """Return the matrix as if all pixels of a true class were labeled "ignore"."""
    return np.where(np.arange(matrix.shape[-1])[:, None] == true_class, 0, matrix)


def _sums(matrix: Matrix) -> tuple[Matrix, Matrix, Matrix]:
    """Return the correct, the true and the predicted pixels of each class, each (..., N)."""
    return np.diagonal(matrix, axis1=-2, axis2=-1), matrix.sum(-1), matrix.sum(-2)


def ratio(part: NDArray[Any], whole: NDArray[Any]) -> Scores:
    """Return part / whole in float64, NaN where whole is 0."""
    part, whole = np.asarray(part, np.float64), np.asarray(whole, np.float64)
    undefined = np.full(np.broadcast(part, whole).shape, np.nan)
    return np.asarray(np.divide(part, whole, out=undefined, where=whole != 0))


def rounded(value: Any) -> float | None:
    """Round a score to six digits for JSON; None if it is NaN."""
    return None if np.isnan(value) else round(float(value), 6)
