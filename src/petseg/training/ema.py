"""A running average of the weights, which generalizes better than the last step's (Polyak averaging, or EMA)."""

from collections.abc import Iterator
from contextlib import contextmanager

import keras
import tensorflow as tf

from petseg.training.checkpoint import Arrays


class EMA:
    """Exponential moving average of all weights of a network, the batch norms' statistics included.

    Made in the strategy's scope. Early on the average is shorter, so that the first weights are soon forgotten.
    """

    def __init__(self, network: keras.Model, decay: float) -> None:
        self._network, self._decay = network, decay
        self._averages = [
            keras.Variable(
                weight, trainable=False, aggregation="only_first_replica", name="average"
            )
            for weight in network.weights
        ]

    def follow(self, step: tf.Tensor) -> None:
        """Take the weights in, as they are after so many steps; called on each replica."""
        step = tf.cast(step, tf.float32)
        decay = tf.minimum(self._decay, (1 + step) / (10 + step))
        for average, weight in zip(self._averages, self._network.weights, strict=True):
            average.assign(average.value * decay + weight.value * (1 - decay))

    def values(self) -> Arrays:
        return [average.numpy() for average in self._averages]

    def set_values(self, values: Arrays) -> None:
        for average, value in zip(self._averages, values, strict=True):
            average.assign(value)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The network has the average as its weights while the block runs."""
        weights = self._network.get_weights()
        self._network.set_weights(self.values())
        try:
            yield
        finally:
            self._network.set_weights(weights)
