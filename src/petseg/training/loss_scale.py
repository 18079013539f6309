"""Dynamic loss scaling, without which float16 would round small gradients to 0.

The loss is multiplied by a scale, and the gradients are divided by it, in float32. A step whose
gradients overflow is skipped and halves the scale; many steps without overflow double it
(Micikevicius et al., "Mixed Precision Training", 2018, https://arxiv.org/abs/1710.03740).
"""

import keras
import tensorflow as tf

from petseg.training.checkpoint import Arrays

_INITIAL_SCALE = 2.0**15
_GROWTH_INTERVAL = 2000  # steps without overflow, after which the scale is doubled


class LossScale:
    """A scale that follows the size of the gradients. Must be created in the strategy's scope.

    A power of two, so that multiplying by it and dividing by it are exact.
    """

    def __init__(self) -> None:
        self._scale = _variable(_INITIAL_SCALE, "float32", "scale")
        self._good_steps = _variable(0, "int64", "good_steps")  # since the scale last changed
        self._skipped = _variable(0, "int64", "skipped")

    @property
    def value(self) -> tf.Tensor:
        """The scale, () float32, at least 1."""
        return tf.identity(self._scale.value)  # not the variable, which may change

    @property
    def num_skipped(self) -> int:
        """The number of steps that were skipped so far."""
        return int(self._skipped.value)

    def __str__(self) -> str:
        return f"{float(self.value):.0f}"

    def update(self, is_finite: tf.Tensor) -> None:
        """Count a step whose gradients are all finite, or are not, () bool. Called on each replica.

        At the scale 1, gradients that aren't finite are an error, which the training step reports.
        """
        scale, good_steps = self._scale.value, self._good_steps.value + 1
        is_due = is_finite & (good_steps >= _GROWTH_INTERVAL)
        factor = tf.where(is_finite, tf.where(is_due, 2.0, 1.0), 0.5)
        self._scale.assign(tf.maximum(scale * factor, 1.0))
        self._good_steps.assign(good_steps * tf.cast(is_finite & ~is_due, tf.int64))
        self._skipped.assign(self._skipped.value + tf.cast(~is_finite, tf.int64))

    def values(self) -> Arrays:
        return [variable.numpy() for variable in self._variables()]

    def set_values(self, values: Arrays) -> None:
        for variable, value in zip(self._variables(), values, strict=True):
            variable.assign(value)

    def _variables(self) -> list[keras.Variable]:
        return [self._scale, self._good_steps, self._skipped]


def _variable(value: float, dtype: str, name: str) -> keras.Variable:
    return keras.Variable(value, dtype=dtype, trainable=False, name=name)
