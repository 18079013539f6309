"""Convolutions that do the work of the batch norm behind them, wherever that one's statistics stand still.

Such a batch norm, in prediction or frozen, multiplies each channel by a number and adds another one. Multiplying the
convolution's kernel instead, which is far smaller than what it puts out, spares two passes over that; and the backend
can then add the bias, and apply the ReLU, while it convolves.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any

import keras
from keras import layers, ops

from petseg.model.batch_norm import BatchNormalization


class _Foldable:
    """A convolution without a bias; of Keras's layers of the same names, which are also those in a weights file."""

    # A function, since Keras would take a layer for a part of this one, and its weights for this one's.
    batch_norm: Callable[[], BatchNormalization] | None = None
    use_bias: bool

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        if self.batch_norm is None or not self.batch_norm().stands_still(training):
            return super().call(inputs)  # type: ignore[misc]
        scale, shift = self.batch_norm().scale_and_shift()
        return ops.add(self.convolved(inputs, scale), shift)

    def convolved(self, inputs: Any, scale: Any) -> Any:
        """The convolution with each of its channels multiplied by its scale (C,)."""
        raise NotImplementedError


class Conv2D(_Foldable, layers.Conv2D):
    def convolved(self, inputs: Any, scale: Any) -> Any:
        return self.convolution_op(inputs, self.kernel * scale)


class DepthwiseConv2D(_Foldable, layers.DepthwiseConv2D):
    def convolved(self, inputs: Any, scale: Any) -> Any:
        kernel = self.kernel * ops.reshape(scale, (-1, self.depth_multiplier))
        return ops.depthwise_conv(inputs, kernel, self.strides, self.padding, self.data_format, self.dilation_rate)


class SeparableConv2D(_Foldable, layers.SeparableConv2D):
    def convolved(self, inputs: Any, scale: Any) -> Any:
        pointwise = self.pointwise_kernel * scale
        return ops.separable_conv(
            inputs, self.depthwise_kernel, pointwise, self.strides, self.padding, self.data_format, self.dilation_rate
        )


_OURS: dict[str, Any] = {ours.__name__: ours for ours in (BatchNormalization, Conv2D, DepthwiseConv2D, SeparableConv2D)}


def with_our_layers(network: keras.Model, inputs: keras.KerasTensor) -> keras.Model:
    """The same network on these inputs, with new weights, its convolutions and batch norms replaced by ours."""

    def clone(layer: keras.layers.Layer) -> keras.layers.Layer:
        kind: Any = _OURS.get(type(layer).__name__, type(layer))
        return kind.from_config(layer.get_config())

    return keras.models.clone_model(network, input_tensors=inputs, clone_function=clone)


def fold_batch_norms(network: keras.Model) -> None:
    """Give each of our batch norms to the convolution before it, if that one's output goes nowhere else."""
    made_by = {id(layer.output): layer for layer in network.layers}
    readers = Counter(id(tensor) for layer in network.layers for tensor in keras.tree.flatten(layer.input))
    readers.update(map(id, network.outputs))
    for layer in network.layers:
        if isinstance(layer, BatchNormalization) and layer.is_plain and readers[id(layer.input)] == 1:
            convolution = made_by.get(id(layer.input))
            if isinstance(convolution, _Foldable) and not convolution.use_bias:
                convolution.batch_norm = lambda layer=layer: layer
                layer.is_folded = True
