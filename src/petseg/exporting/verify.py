"""Each exported file against the network it was made of, on the same pictures."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from petseg.config.types import ExportFormat
from petseg.metrics import Matrix, count_labels, mean_iou
from petseg.prediction.backend import PredictFn

Picture = tuple[NDArray[np.uint8], NDArray[np.uint8]]
"""Image (S, S, 3) and mask (S, S)."""


@dataclass
class Tally:
    """How one network has done on the pictures so far, and how far it was from the reference."""

    confusion: Matrix | Any = 0  # (N, N)
    max_abs_error: float = 0.0  # of any probability
    total_difference: float = 0.0  # of all pixels, each the mean of its probabilities
    same: int = 0  # pixels with the same most probable class
    pixels: int = 0
    seconds: list[float] = field(default_factory=list)  # of each picture

    @property
    def mean_iou(self) -> float:
        return float(mean_iou(self.confusion))

    @property
    def mean_abs_error(self) -> float:
        return self.total_difference / self.pixels

    @property
    def agreement(self) -> float:
        """The share of pixels with the same most probable class."""
        return self.same / self.pixels

    @property
    def milliseconds(self) -> float:
        """The median of single pictures."""
        return 1000 * float(np.median(self.seconds))


def tally_all(
    reference: PredictFn, others: Mapping[ExportFormat, PredictFn], pictures: Iterable[Picture]
) -> tuple[Tally, dict[ExportFormat, Tally]]:
    """The reference's, and the others'. One picture at a time, as on a phone, all networks in turn."""
    first, rest = Tally(), {name: Tally() for name in others}
    for image, mask in pictures:
        wanted = _timed(reference, image, first)
        _add(first, wanted, wanted, mask)
        for name, scorer in others.items():
            _add(rest[name], _timed(scorer, image, rest[name]), wanted, mask)
    return first, rest


def _timed(scorer: PredictFn, image: NDArray[np.uint8], tally: Tally) -> NDArray[np.float32]:
    start = time.perf_counter()
    (found,) = scorer(image[None])
    tally.seconds.append(time.perf_counter() - start)
    return np.asarray(found)


def _add(
    tally: Tally, found: NDArray[np.float32], wanted: NDArray[np.float32], mask: NDArray[np.uint8]
) -> None:
    predicted = np.argmax(found, -1).astype(np.uint8)
    tally.confusion = tally.confusion + count_labels(mask, predicted, found.shape[-1])
    difference = np.abs(found - wanted)
    tally.max_abs_error = float(np.maximum(tally.max_abs_error, difference.max()))  # NaN stays NaN
    tally.total_difference += float(difference.mean(-1).sum())
    tally.same += int(np.count_nonzero(predicted == np.argmax(wanted, -1)))
    tally.pixels += predicted.size
