"""A batch norm that can be computed otherwise: in training by a faster kernel of the backend, and where its statistics
stand still by the convolution before it (see folding.py).

Keras 3 computes a batch norm in some ten separate operations, each a pass over the whole tensor.
"""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

Kernel = Callable[[Any, Any, Any, float], tuple[Any, Any, Any]]
"""x (B, H, W, C), gamma (C,), beta (C,), epsilon to outputs (B, H, W, C), and the mean and variance (C,) to store."""


class BatchNormalization(keras.layers.BatchNormalization):
    """Keras's layer of the same name, which is also the name it has in a weights file."""

    training_kernel: Kernel | None = None  # given by who trains
    is_folded = False  # whether the convolution before does its work while it stands still

    @property
    def is_plain(self) -> bool:
        """Whether it is one of channels, the last dimension, and nothing but a batch norm."""
        return bool(self.scale and self.center and not self.renorm and self.axis in (-1, 3))

    def in_inference_mode(self, training: bool | None) -> bool:
        """Whether it normalizes by its stored statistics."""
        return not (training and self.trainable)

    def scale_and_shift(self) -> tuple[Any, Any]:
        """What it then multiplies each channel (C,) by, and adds to it."""
        scale = self.gamma / ops.sqrt(self.moving_variance + self.epsilon)
        return scale, self.beta - self.moving_mean * scale

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        if self.in_inference_mode(training) and self.is_folded:
            return inputs
        fits = self.is_plain and not self.synchronized and mask is None and len(inputs.shape) == 4
        if self.training_kernel is None or self.in_inference_mode(training) or not fits:
            return super().call(inputs, training=training, mask=mask)
        outputs, mean, variance = self.training_kernel(inputs, self.gamma, self.beta, self.epsilon)
        for stored, now in ((self.moving_mean, mean), (self.moving_variance, variance)):
            stored.assign(stored * self.momentum + now * (1.0 - self.momentum))
        return outputs
