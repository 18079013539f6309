"""A batch norm whose arithmetic in training can be replaced by a faster kernel of the backend.

Keras 3 computes a batch norm in some ten separate operations, each a pass over the whole tensor.
"""

from collections.abc import Callable
from typing import Any

import keras

Kernel = Callable[[Any, Any, Any, float], tuple[Any, Any, Any]]
"""x (B, H, W, C), gamma (C,), beta (C,), epsilon to outputs (B, H, W, C), and the mean and variance (C,) to store."""


class BatchNormalization(keras.layers.BatchNormalization):
    """Keras's layer of the same name, which is also the name it has in a weights file."""

    training_kernel: Kernel | None = None  # given by who trains

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        follows_batches = training and self.trainable and not self.synchronized
        plain = self.scale and self.center and not self.renorm and mask is None
        of_channels = len(inputs.shape) == 4 and self.axis in (-1, 3)
        if self.training_kernel is None or not (follows_batches and plain and of_channels):
            return super().call(inputs, training=training, mask=mask)
        outputs, mean, variance = self.training_kernel(inputs, self.gamma, self.beta, self.epsilon)
        for stored, now in ((self.moving_mean, mean), (self.moving_variance, variance)):
            stored.assign(stored * self.momentum + now * (1.0 - self.momentum))
        return outputs


def with_our_batch_norms(network: keras.Model, inputs: keras.KerasTensor) -> keras.Model:
    """The same network on these inputs, with new weights, its batch norms replaced by ours."""

    def clone(layer: keras.layers.Layer) -> keras.layers.Layer:
        kind = BatchNormalization if isinstance(layer, keras.layers.BatchNormalization) else type(layer)
        return kind.from_config(layer.get_config())

    return keras.models.clone_model(network, input_tensors=inputs, clone_function=clone)
