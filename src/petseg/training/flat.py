"""Many small tensors as one vector, so that one operation updates them all.

A network has some 130 trainable variables. Starting an operation on a GPU takes longer than running
it on most of them.
"""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf


def flatten(tensors: Sequence[Any]) -> tf.Tensor:
    """Return the elements of all tensors or variables, one after the other, (P,)."""
    return tf.concat([tf.reshape(tensor, [-1]) for tensor in tensors], 0)


def unflatten(vector: tf.Tensor, variables: Sequence[keras.Variable]) -> list[tf.Tensor]:
    """Split a vector (P,) into one tensor for each variable, of its shape."""
    shapes = [variable.shape for variable in variables]
    parts = tf.split(vector, [shape.num_elements() for shape in map(tf.TensorShape, shapes)])
    return [tf.reshape(part, shape) for part, shape in zip(parts, shapes, strict=True)]
