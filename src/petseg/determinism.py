"""Deterministic operations: the same numbers on every run on the same kind of machine."""

import tensorflow as tf


def make_deterministic() -> None:
    """Make TensorFlow use only deterministic operations.

    On the CPU, also turn off its graph optimizer. With it, the input gradient of a batch norm
    differed in the last bits in about one of four steps, despite op determinism (TensorFlow 2.21,
    two cores); without it, in none of 299.
    """
    tf.config.experimental.enable_op_determinism()
    if not tf.config.list_physical_devices("GPU"):
        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
