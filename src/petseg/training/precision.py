"""Mixed precision: the dtype in which layers compute during training. Their weights stay float32.

The saved network computes in float32 again, so its metrics differ slightly from the
validation metrics during training.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import keras

from petseg.config.types import Precision


@contextmanager
def dtype_policy_scope(precision: Precision) -> Iterator[None]:
    """Make layers created in the block compute in this precision unless they set a dtype."""
    if precision == "float32":
        yield
        return
    previous = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(previous)
