"""Compare exported files with the network they were converted from, on the same images."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from petseg.config.types import ExportFormat
from petseg.metrics import Matrix, count_labels, mean_iou
from petseg.prediction.backend import PredictFn

LabeledImage = tuple[NDArray[np.uint8], NDArray[np.uint8]]
"""Image (H, W, 3) and mask (H, W)."""


@dataclass
class BackendStats:
    """Running statistics of one backend: scores, deviation from the reference, and time."""

    confusion: Matrix | Any = 0  # (N, N)
    max_abs_error: float = 0.0  # of any probability
    sum_abs_error: float = 0.0  # over pixels, each the mean over its probabilities
    equal_pixels: int = 0  # with the same most probable class as the reference
    num_pixels: int = 0
    seconds: list[float] = field(default_factory=list)  # per image

    @property
    def mean_iou(self) -> float:
        return float(mean_iou(self.confusion))

    @property
    def mean_abs_error(self) -> float:
        return self.sum_abs_error / self.num_pixels

    @property
    def pixel_agreement(self) -> float:
        """Share of pixels with the same most probable class as the reference."""
        return self.equal_pixels / self.num_pixels

    @property
    def milliseconds(self) -> float:
        """Median time per image."""
        return 1000 * float(np.median(self.seconds))

    def predict(self, predict: PredictFn, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Predict an image (H, W, 3) and record the time."""
        start = time.perf_counter()
        (probabilities,) = predict(image[None])
        self.seconds.append(time.perf_counter() - start)
        return np.asarray(probabilities)

    def update(
        self,
        probabilities: NDArray[np.float32],
        reference: NDArray[np.float32],
        mask: NDArray[np.uint8],
    ) -> None:
        """Add an image's probabilities (H, W, N), compared with the reference's."""
        predicted = np.argmax(probabilities, -1).astype(np.uint8)
        self.confusion = self.confusion + count_labels(mask, predicted, probabilities.shape[-1])
        error = np.abs(probabilities - reference)
        self.max_abs_error = float(np.maximum(self.max_abs_error, error.max()))  # keeps NaN
        self.sum_abs_error += float(error.mean(-1).sum())
        self.equal_pixels += int(np.count_nonzero(predicted == np.argmax(reference, -1)))
        self.num_pixels += predicted.size


def compare_backends(
    reference: PredictFn,
    exported: Mapping[ExportFormat, PredictFn],
    examples: Iterable[LabeledImage],
) -> tuple[BackendStats, dict[ExportFormat, BackendStats]]:
    """Run all backends in turn, one image at a time, as a phone would.

    Return the statistics of the reference and of each exported file.
    """
    reference_stats, stats = BackendStats(), {name: BackendStats() for name in exported}
    for image, mask in examples:
        expected = reference_stats.predict(reference, image)
        reference_stats.update(expected, expected, mask)
        for name, predict in exported.items():
            stats[name].update(stats[name].predict(predict, image), expected, mask)
    return reference_stats, stats
