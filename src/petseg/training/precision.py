"""The precision in which a network computes during training. Its weights are float32 in each.

float32, tf32 (float32 whose products a GPU rounds to 10 bits of fraction), and two forms of mixed
precision, in which layers compute in bfloat16 or float16. The saved network computes in float32
again, so its metrics differ slightly from the validation metrics during training.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import keras
import tensorflow as tf

from petseg.config.types import Precision
from petseg.training.devices import Gpu

# The first compute capability whose tensor cores multiply in the precision, by NVIDIA's
# documentation: Volta (V100), and Ampere (A100). Turing (T4) is 7.5, Ada (L4) 8.9, Hopper 9.0.
_FIRST_CAPABILITY = {"tf32": (8, 0), "mixed_bfloat16": (8, 0), "mixed_float16": (7, 0)}


def set_up_precision(precision: Precision) -> None:
    """Turn TF32 on or off for the whole process."""
    tf.config.experimental.enable_tensor_float_32_execution(precision == "tf32")


@contextmanager
def dtype_policy_scope(precision: Precision) -> Iterator[None]:
    """Make layers created in the block compute in this precision unless they set a dtype."""
    if precision in ("float32", "tf32"):
        yield
        return
    previous = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(previous)


def describe_missing_support(precision: Precision, gpus: Sequence[Gpu]) -> str | None:
    """Return a sentence if a device doesn't have the hardware for which the precision exists."""
    if gpus:
        first = _FIRST_CAPABILITY.get(precision, (0, 0))
        device = next((str(gpu) for gpu in gpus if (0, 0) < gpu.compute_capability < first), None)
    else:
        device = "the CPU" if precision == "tf32" else None
    if device is None:
        return None
    return (
        f"train.precision is {precision}, but {device} has no hardware for it; expect training to "
        "be no faster than in float32."
    )
