"""Mixed precision: what layers compute in, while their weights stay float32."""

from collections.abc import Iterator
from contextlib import contextmanager

import keras

from petseg.fields import Precision


@contextmanager
def computing_in(precision: Precision) -> Iterator[None]:
    """Layers made in here compute in that precision, but for the first one and the last (see `build_unet`)."""
    if precision == "float32":
        yield
        return
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
