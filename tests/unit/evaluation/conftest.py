"""Six drawn masks with predictions, and their counts."""

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix

from petseg.evaluation.boundary import boundary_counts
from petseg.evaluation.per_image import Counts
from support.blobs import NAMES, draw_blobs


@pytest.fixture(scope="session")
def pairs():
    rng = np.random.default_rng(0)
    return [draw_blobs(rng) for _ in range(6)]


@pytest.fixture(scope="session")
def counts(pairs):
    confusion = [
        confusion_matrix(truth.ravel(), predicted.ravel(), labels=[0, 1, 2, 255])[:3, :3]
        for truth, predicted in pairs
    ]
    boundary = [boundary_counts(truth, predicted, 3, 1) for truth, predicted in pairs]
    return Counts(NAMES, np.stack(confusion), np.stack(boundary))
