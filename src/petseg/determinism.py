"""The same numbers on every run on this kind of machine."""

import tensorflow as tf


def make_deterministic() -> None:
    """Let TensorFlow choose only operations whose results are the same every time.

    On the CPU its graph rewriter is left out as well: with it the input gradient of a batch norm differed in its last
    bits in about one step of four, op determinism or not (TensorFlow 2.21, two cores), without it in none of 299.
    """
    tf.config.experimental.enable_op_determinism()
    if not tf.config.list_physical_devices("GPU"):
        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
