"""Private parts of Keras, in one place. Checked on Keras 3.15."""

from collections.abc import Iterable
from typing import Any

import keras


class SummedAdamW(keras.optimizers.AdamW):
    """AdamW for gradients that are already summed over all replicas.

    Keras would sum them only now, but their norm can be clipped only after the sum.
    """

    def _all_reduce_sum_gradients(self, grads_and_vars: Iterable[Any]) -> Iterable[Any]:
        return grads_and_vars
