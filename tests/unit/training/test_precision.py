"""Precisions: what they turn on, and which devices they suit."""

import pytest
import tensorflow as tf

from petseg.training.devices import Gpu
from petseg.training.precision import describe_missing_support, set_up_precision

P100, V100 = Gpu("P100", (6, 0)), Gpu("V100", (7, 0))
T4, A100 = Gpu("Tesla T4", (7, 5)), Gpu("A100", (8, 0))
OTHER = Gpu("GPU", (0, 0))


def test_only_tf32_rounds_float32_to_tf32():
    enabled = {}
    for precision in ("tf32", "float32", "tf32", "mixed_bfloat16", "tf32", "mixed_float16"):
        set_up_precision(precision)
        enabled[precision] = tf.config.experimental.tensor_float_32_execution_enabled()
    assert [precision for precision, is_on in enabled.items() if is_on] == ["tf32"]


@pytest.mark.parametrize(
    ("precision", "gpus", "named"),
    [
        ("float32", [P100], None),
        ("tf32", [A100], None),
        ("tf32", [A100, T4], "Tesla T4 (compute capability 7.5)"),
        ("tf32", [], "the CPU"),
        ("mixed_bfloat16", [T4], "Tesla T4 (compute capability 7.5)"),
        ("mixed_bfloat16", [A100], None),
        ("mixed_bfloat16", [], None),
        ("mixed_float16", [V100, T4, A100], None),
        ("mixed_float16", [P100], "P100 (compute capability 6.0)"),
        ("mixed_float16", [], None),
        ("mixed_float16", [OTHER], None),
    ],
)
def test_a_device_without_hardware_for_the_precision_is_named(precision, gpus, named):
    message = describe_missing_support(precision, gpus)
    assert (message is None) == (named is None)
    if message:
        assert message.startswith(f"train.precision is {precision}, but {named} has no hardware")
