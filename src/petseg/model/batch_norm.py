"""A batch norm with two faster implementations: fused in training, folded in inference.

Keras 3 computes a batch norm in about ten separate operations, each a pass over the whole tensor.
In training the backend may supply one fused kernel. In inference the preceding convolution does the
work (see folding.py).
"""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

Kernel = Callable[[Any, Any, Any, float], tuple[Any, Any, Any]]
"""x (B, H, W, C), gamma, beta (C,), epsilon to outputs (B, H, W, C), mean and variance (C,)."""


class BatchNormalization(keras.layers.BatchNormalization):
    """Keras's layer, under the same name so that weights files stay compatible."""

    training_kernel: Kernel | None = None  # set before training, by prepare_batch_norms
    is_folded = False  # whether the preceding convolution applies it in inference
    keeps_statistics = False  # whether training leaves the stored statistics as they are

    @property
    def is_plain(self) -> bool:
        """Whether it normalizes, scales and shifts the last dimension, and does nothing else."""
        renormalizes = getattr(self, "renorm", False)  # since Keras 3.14
        return bool(self.scale and self.center and not renormalizes and self.axis in (-1, 3))

    def in_inference_mode(self, training: bool | None) -> bool:
        """Whether it normalizes with its stored statistics."""
        return self.keeps_statistics or not (training and self.trainable)

    def scale_and_shift(self) -> tuple[Any, Any]:
        """Return the factor and offset (C,) that it applies to each channel in inference mode."""
        scale = self.gamma / ops.sqrt(self.moving_variance + self.epsilon)
        return scale, self.beta - self.moving_mean * scale

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        if self.in_inference_mode(training):
            return inputs if self.is_folded else super().call(inputs, training=False, mask=mask)
        fits = self.is_plain and mask is None and len(inputs.shape) == 4
        if self.training_kernel is None or not fits:
            return super().call(inputs, training=training, mask=mask)
        outputs, mean, variance = self.training_kernel(inputs, self.gamma, self.beta, self.epsilon)
        for stored, current in ((self.moving_mean, mean), (self.moving_variance, variance)):
            stored.assign(stored * self.momentum + current * (1.0 - self.momentum))
        return outputs
