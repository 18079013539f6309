"""Mixed precision: what layers compute in while a network is trained. Their weights stay float32.

The saved network computes in float32 again, so its scores differ a little from those that validation had in training.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import keras

from petseg.config.types import Precision


@contextmanager
def dtype_policy_scope(precision: Precision) -> Iterator[None]:
    """Layers made in here compute in that precision, but for those that are float32 by name: see `build_unet`."""
    if precision == "float32":
        yield
        return
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
