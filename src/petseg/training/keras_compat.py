"""Private Keras APIs, in one place. Checked with Keras 3.15."""

from collections.abc import Iterable
from typing import Any

import keras


class SummedAdamW(keras.optimizers.AdamW):
    """AdamW for gradients that are already summed over all replicas.

    Keras would sum them here, too late to clip their norm.
    """

    def _all_reduce_sum_gradients(self, grads_and_vars: Iterable[Any]) -> Iterable[Any]:
        return grads_and_vars
