"""The common interface of a trained network, whichever library runs it."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

PredictFn = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""Map images (B, H, W, 3) of 0..255 to probabilities (B, H, W, N)."""
