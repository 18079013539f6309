"""Convolutions that also apply the following batch norm when it is in inference mode.

In prediction, or when it is frozen, a batch norm multiplies each channel by a factor and adds an
offset. Scaling the convolution's kernel, which is far smaller than its output, saves two passes
over that output, and lets the backend add the bias and apply the ReLU within the convolution.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any

import keras
from keras import layers, ops

from petseg.model.batch_norm import BatchNormalization


class _Foldable:
    """Mixin for a Keras convolution; the subclass keeps Keras's name, as weights files need it."""

    # A function, because Keras would track a layer here as a sublayer and save its weights twice.
    following_bn: Callable[[], BatchNormalization] | None = None
    use_bias: bool
    activation: Any
    compute_dtype: str

    def fold(self, batch_norm: BatchNormalization) -> None:
        """Apply this batch norm, the next layer, whenever it is in inference mode."""
        self.following_bn = lambda: batch_norm
        batch_norm.is_folded = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        if self.following_bn is None or not self.following_bn().in_inference_mode(training):
            return super().call(inputs)  # type: ignore[misc]
        scale, shift = self.following_bn().scale_and_shift()
        scale, shift = ops.cast(scale, self.compute_dtype), ops.cast(shift, self.compute_dtype)
        return ops.add(self.conv_with_scale(inputs, scale), shift)

    def conv_with_scale(self, inputs: Any, scale: Any) -> Any:
        """Convolve with the kernel of each output channel multiplied by its scale (C,)."""
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
        return ops.separable_conv(
            inputs,
            self.depthwise_kernel,
            self.pointwise_kernel * scale,
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
"""Keras's layers and the subclasses that replace them."""


def fold_batch_norms(network: keras.Model) -> None:
    """Fold each batch norm into the convolution before it, if nothing else reads its output.

    It doesn't look inside nested models, which must not read a convolution's output.
    """
    layer_of = {id(layer.output): layer for layer in network.layers}
    num_readers = Counter(
        id(tensor) for layer in network.layers for tensor in keras.tree.flatten(layer.input)
    )
    num_readers.update(map(id, network.outputs))
    for layer in network.layers:
        if not isinstance(layer, BatchNormalization) or not layer.is_plain:
            continue
        previous = layer_of.get(id(layer.input))
        if (
            isinstance(previous, _Foldable)
            and num_readers[id(layer.input)] == 1
            and not previous.use_bias
            and previous.activation is keras.activations.linear
        ):
            previous.fold(layer)


def batch_norm_of(conv: Any) -> BatchNormalization | None:
    """Return the batch norm that is folded into a convolution. The head has none."""
    following_bn = getattr(conv, "following_bn", None)
    return following_bn() if following_bn else None
