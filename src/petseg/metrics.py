"""The confusion matrix, counted in int64, and the scores that follow from it.

Rows are the truth, columns the prediction. Pixels labelled "ignore" are in no row. A class that is neither in the truth
nor in the prediction has no IoU: it is NaN, and no mean counts it.
"""

from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from petseg.core.labels import IGNORE_LABEL

Matrix = NDArray[np.int64]  # (N, N), or (..., N, N) for one per picture
Scores = NDArray[np.float64]


def count_confusion(mask: keras.KerasTensor, logits: keras.KerasTensor) -> keras.KerasTensor:
    """One confusion matrix per picture: mask (B, H, W) uint8 and logits (B, H, W, N) to (B, N, N) int64.

    The product of one-hot vectors is exact in float32 up to 2**24 pixels a picture, and runs on every device.
    """
    classes = logits.shape[-1]
    prediction = ops.argmax(logits, axis=-1)
    truth_hot = _one_hot(mask, classes)  # (B, P, N); all zero where ignored
    prediction_hot = _one_hot(prediction, classes)
    return ops.cast(ops.matmul(ops.transpose(truth_hot, (0, 2, 1)), prediction_hot), "int64")


def count_labels(mask: NDArray[np.uint8], predicted: NDArray[np.uint8], classes: int) -> Matrix:
    """The confusion matrix (N, N) of two masks (H, W) of any size, exact."""
    counted = mask != IGNORE_LABEL
    pairs = mask[counted].astype(np.int64) * classes + predicted[counted]
    return np.bincount(pairs, minlength=classes**2).astype(np.int64).reshape(classes, classes)


def _one_hot(labels: keras.KerasTensor, classes: int) -> keras.KerasTensor:
    flat = ops.reshape(ops.cast(labels, "int32"), (ops.shape(labels)[0], -1, 1))
    return ops.cast(ops.equal(flat, ops.arange(classes, dtype="int32")), "float32")


def iou(matrix: Matrix) -> Scores:
    """Intersection over union of each class, (..., N)."""
    hits, truth, predicted = _sums(matrix)
    return ratio(hits, truth + predicted - hits)


def dice(matrix: Matrix) -> Scores:
    """Dice score (F1) of each class, (..., N)."""
    hits, truth, predicted = _sums(matrix)
    return ratio(2 * hits, truth + predicted)


def accuracy(matrix: Matrix) -> Scores:
    """Share of the counted pixels that are right, (...)."""
    return ratio(np.trace(matrix, axis1=-2, axis2=-1), matrix.sum((-2, -1)))


def mean_defined(scores: Scores) -> Scores:
    """Mean over the last axis of what is defined; NaN where nothing is."""
    defined = ~np.isnan(scores)
    return ratio(np.where(defined, scores, 0).sum(-1), defined.sum(-1))


def mean_iou(matrix: Matrix) -> Scores:
    """Mean IoU over the classes that occur, (...)."""
    return mean_defined(iou(matrix))


def frequency_weighted_iou(matrix: Matrix) -> Scores:
    """Mean of the classes' IoUs, each weighted by its share of the true pixels, (...)."""
    truth = matrix.sum(-1)
    return ratio((np.where(truth > 0, iou(matrix), 0.0) * truth).sum(-1), truth.sum(-1))


def foreground_iou(matrix: Matrix, background: int) -> Scores:
    """IoU of everything that is not background, taken as one class, (...)."""
    total, true_background = matrix.sum((-2, -1)), matrix[..., background, background]
    either_background = (
        matrix[..., background, :].sum(-1) + matrix[..., :, background].sum(-1) - true_background
    )
    return ratio(total - either_background, total - true_background)


def mask_true_class(matrix: Matrix, true_class: int) -> Matrix:
    """The matrix that would have been counted if all pixels of a true class were labelled "ignore"."""
    return np.where(np.arange(matrix.shape[-1])[:, None] == true_class, 0, matrix)


def _sums(matrix: Matrix) -> tuple[Matrix, Matrix, Matrix]:
    return np.diagonal(matrix, axis1=-2, axis2=-1), matrix.sum(-1), matrix.sum(-2)


def ratio(part: NDArray[Any], whole: NDArray[Any]) -> Scores:
    """part / whole in float64, NaN where whole is 0."""
    part, whole = np.asarray(part, np.float64), np.asarray(whole, np.float64)
    undefined = np.full(np.broadcast(part, whole).shape, np.nan)
    return np.asarray(np.divide(part, whole, out=undefined, where=whole != 0))


def rounded(value: Any) -> float | None:
    """A score as a JSON file holds it: six digits, None if it is undefined."""
    return None if np.isnan(value) else round(float(value), 6)
