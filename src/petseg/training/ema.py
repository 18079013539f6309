"""An exponential moving average of the weights, which often generalizes better."""

from collections.abc import Iterator
from contextlib import contextmanager

import keras
import tensorflow as tf

from petseg.training.checkpoint import Arrays
from petseg.training.flat import flatten, unflatten


class EMA:
    """Exponential moving average of all weights of a network, including batch norm statistics.

    Must be created in the strategy's scope.
    """

    def __init__(self, network: keras.Model, decay: float) -> None:
        self._network = network
        self._decay = decay
        self._average = keras.Variable(flatten(network.weights), trainable=False, name="average")

    @property
    def variables(self) -> list[keras.Variable]:
        return [self._average]

    def update(self, step: tf.Tensor) -> None:
        """Average in the weights after `step` steps, () int64. Called on each replica.

        The decay is at most (1 + step) / (10 + step), so that the initial weights fade quickly.
        """
        step = tf.cast(step, self._average.dtype)
        decay = tf.minimum(self._decay, (1 + step) / (10 + step))
        weights = flatten(self._network.weights)
        self._average.assign(self._average.value * decay + weights * (1 - decay))

    def values(self) -> Arrays:
        average = tf.convert_to_tensor(self._average.value)
        return [part.numpy() for part in unflatten(average, self._network.weights)]

    def set_values(self, values: Arrays) -> None:
        self._average.assign(flatten(values))

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Make the averages the network's weights inside the block."""
        weights = self._network.get_weights()
        self._network.set_weights(self.values())
        try:
            yield
        finally:
            self._network.set_weights(weights)
