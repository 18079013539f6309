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
    """A convolution of Keras's, whose name in a weights file it keeps."""

    # A function, since Keras would take a layer for a part of this one, and its weights for this one's.
    following_bn: Callable[[], BatchNormalization] | None = None
    use_bias: bool
    activation: Any
    compute_dtype: str

    def fold(self, batch_norm: BatchNormalization) -> None:
        """Do the work of the batch norm behind while it stands still."""
        self.following_bn, batch_norm.is_folded = lambda: batch_norm, True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        if self.following_bn is None or not self.following_bn().in_inference_mode(training):
            return super().call(inputs)  # type: ignore[misc]
        scale, shift = (
            ops.cast(each, self.compute_dtype) for each in self.following_bn().scale_and_shift()
        )
        return ops.add(self.conv_with_scale(inputs, scale), shift)

    def conv_with_scale(self, inputs: Any, scale: Any) -> Any:
        """The convolution with each of its channels multiplied by its scale (C,)."""
        raise NotImplementedError


class Conv2D(_Foldable, layers.Conv2D):
    def conv_with_scale(self, inputs: Any, scale: Any) -> Any:
        return self.convolution_op(inputs, self.kernel * scale)


class DepthwiseConv2D(_Foldable, layers.DepthwiseConv2D):
    def conv_with_scale(self, inputs: Any, scale: Any) -> Any:
        kernel = self.kernel * ops.reshape(scale, (-1, self.depth_multiplier))
        return ops.depthwise_conv(
            inputs, kernel, self.strides, self.padding, self.data_format, self.dilation_rate
        )


class SeparableConv2D(_Foldable, layers.SeparableConv2D):
    def conv_with_scale(self, inputs: Any, scale: Any) -> Any:
        pointwise = self.pointwise_kernel * scale
        return ops.separable_conv(
            inputs,
            self.depthwise_kernel,
            pointwise,
            self.strides,
            self.padding,
            self.data_format,
            self.dilation_rate,
        )


FOLDABLE: dict[Any, Any] = {
    layers.BatchNormalization: BatchNormalization,
    layers.Conv2D: Conv2D,
    layers.DepthwiseConv2D: DepthwiseConv2D,
    layers.SeparableConv2D: SeparableConv2D,
}


def with_our_layers(network: keras.Model, inputs: keras.KerasTensor) -> keras.Model:
    """The same network on these inputs, with new weights, its convolutions and batch norms replaced by ours."""

    def clone(layer: keras.layers.Layer) -> keras.layers.Layer:
        kind = FOLDABLE.get(type(layer), type(layer))
        return kind.from_config(layer.get_config())

    return keras.models.clone_model(network, input_tensors=inputs, clone_function=clone)


def fold_batch_norms(network: keras.Model) -> None:
    """Give each of our batch norms to the convolution before it, if that one's output goes nowhere else.

    What a model within the network reads isn't counted: it mustn't read a convolution.
    """
    made_by = {id(layer.output): layer for layer in network.layers}
    readers = Counter(
        id(tensor) for layer in network.layers for tensor in keras.tree.flatten(layer.input)
    )
    readers.update(map(id, network.outputs))
    for layer in network.layers:
        if (
            isinstance(layer, BatchNormalization)
            and layer.is_plain
            and readers[id(layer.input)] == 1
        ):
            before = made_by.get(id(layer.input))
            if (
                isinstance(before, _Foldable)
                and not before.use_bias
                and before.activation is keras.activations.linear
            ):
                before.fold(layer)
