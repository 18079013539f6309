"""How wrong a mask looks, given a model's probabilities, and what may be wrong with it.

The score is the model's confident disagreement, after confident learning (Northcutt et al., 2021,
https://arxiv.org/abs/1911.00068). A pixel counts by its margin: the probability of the predicted
class minus that of the mask's class, which is 0 where both agree. A class's disagreement is the sum
of the margins over the pixels that the mask or the model give it, divided by their number. The
score is that of the worst class, so that a wrong thin class ranks as high as a wrong large one.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from petseg.core.labels import IGNORE_LABEL

Mask = NDArray[np.uint8]  # (H, W) class indices or IGNORE_LABEL
Probabilities = NDArray[np.float32]  # (H, W, N)

_SMOOTHING = 0.01  # of the image's pixels, added to a class's: a few wrong pixels are no mistake
_EXPLAINED = 0.5  # a change explains the disagreement if it at least halves it
_MIN_SHARE = 0.005  # of the image's pixels, for a class that the mask lacks
_MIN_SCORE = 0.1  # below it, the finding is empty
_MAX_SHIFT = 0.25  # of the image's sides
_TURNS: dict[str, Callable[[Mask], Mask]] = {
    "mirrored": lambda mask: mask[:, ::-1],
    "upside down": lambda mask: mask[::-1],
    "turned by 180 degrees": lambda mask: mask[::-1, ::-1],
    "turned by 90 degrees": lambda mask: np.rot90(mask),
    "turned by -90 degrees": lambda mask: np.rot90(mask, -1),
}


@dataclass(frozen=True)
class Verdict:
    """How wrong a mask looks."""

    score: float  # 0 (the model agrees) to 1
    finding: str  # what may be wrong; empty if nothing stands out


def judge(
    mask: Mask, probabilities: Probabilities, class_names: tuple[str, ...], background: int | None
) -> Verdict:
    """Compare a mask with a model's probabilities."""
    counted = mask != IGNORE_LABEL
    if not counted.any():
        return Verdict(1.0, "no pixel belongs to a class")
    predicted = probabilities.argmax(-1)
    margin = np.where(counted, probabilities.max(-1) - _given(mask, probabilities), 0.0)
    scores = {
        label: margin[pixels].sum() / (pixels.sum() + _SMOOTHING * mask.size)
        for label in np.union1d(mask[counted], predicted[counted]).tolist()
        if label != background
        for pixels in [counted & ((mask == label) | (predicted == label))]
    }
    score = float(max(scores.values(), default=0.0))
    if score < _MIN_SCORE:
        return Verdict(score, "")
    finding = _finding(mask, predicted, probabilities, class_names, background)
    if not finding:
        worst = class_names[max(scores, key=scores.__getitem__)]
        finding = f"the model draws {worst} differently"
    return Verdict(score, finding)


def _finding(
    mask: Mask,
    predicted: NDArray[np.int64],
    probabilities: Probabilities,
    names: tuple[str, ...],
    background: int | None,
) -> str:
    counted = mask != IGNORE_LABEL
    given = set(np.unique(mask[counted]).tolist())
    seen = np.bincount(predicted[counted], minlength=len(names)) / mask.size
    missing = [
        label
        for label in np.argsort(-seen).tolist()
        if label not in given and label != background and seen[label] >= _MIN_SHARE
    ]
    seen_names = ", ".join(f"{names[label]} ({seen[label]:.0%} of the image)" for label in missing)
    if given == {background} and missing:
        return f"empty, but the model sees {seen_names}"
    if change := _best_change(mask, probabilities, names):
        return change
    if missing:
        return f"lacks {seen_names}, which the model sees"
    unseen = [names[label] for label in given if seen[label] == 0 and label != background]
    return f"has {', '.join(unseen)}, which the model sees nowhere" if unseen else ""


def _best_change(mask: Mask, probabilities: Probabilities, names: tuple[str, ...]) -> str:
    """Return the change of the mask that at least halves the disagreement; empty if none does."""
    counted = mask != IGNORE_LABEL
    disagreement = float(counted.sum() - _given(mask, probabilities)[counted].sum())
    after: dict[str, float] = {}
    labels = np.unique(mask[counted]).tolist()
    # Row: the mask's class; column: the sum of a class's probabilities over its pixels.
    sums = {label: probabilities[mask == label].sum(0, dtype=np.float64) for label in labels}
    for i, first in enumerate(labels):
        for second in labels[i + 1 :]:
            gain = sums[first][second] + sums[second][first]
            gain -= sums[first][first] + sums[second][second]
            after[f"{names[first]} and {names[second]} look swapped"] = disagreement - gain
    for name, turn in _TURNS.items():
        turned = turn(mask)
        if turned.shape == mask.shape:
            agreement = _given(turned, probabilities)[turned != IGNORE_LABEL].sum()
            after[f"looks {name}"] = float(counted.sum() - agreement)
    (down, right), agreement = _best_shift(mask, probabilities, labels)
    if down or right:
        change = f"fits better if moved by {right:+d} px to the right and {down:+d} px down"
        after[change] = float(counted.sum()) - agreement
    best = min(after, key=after.__getitem__, default="")
    return best if best and after[best] <= _EXPLAINED * disagreement else ""


def _best_shift(
    mask: Mask, probabilities: Probabilities, labels: list[int]
) -> tuple[tuple[int, int], float]:
    """Return by how much to move the mask down and right to agree best, and the agreement.

    It is a circular correlation: what leaves the image comes back on the other side.
    """
    height, width = mask.shape
    spectrum = sum(
        np.fft.rfft2(probabilities[..., label]) * np.conj(np.fft.rfft2(mask == label))
        for label in labels
    )
    agreement = np.fft.irfft2(spectrum, mask.shape)
    rows, columns = np.fft.fftfreq(height, 1 / height), np.fft.fftfreq(width, 1 / width)
    is_small = np.abs(rows)[:, None] <= _MAX_SHIFT * height
    is_small = is_small & (np.abs(columns)[None] <= _MAX_SHIFT * width)
    row, column = np.unravel_index(np.where(is_small, agreement, -np.inf).argmax(), mask.shape)
    return (round(rows[row]), round(columns[column])), float(agreement[row, column])


def _given(mask: Mask, probabilities: Probabilities) -> NDArray[np.float32]:
    """Return the probability of each pixel's class in the mask, (H, W); arbitrary if ignored."""
    labels = np.where(mask == IGNORE_LABEL, 0, mask).astype(np.int64)
    return np.take_along_axis(probabilities, labels[..., None], -1)[..., 0]
