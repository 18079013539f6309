"""Bias correction: keep each channel's mean when int8 rounds the kernels of the convolutions.

LiteRT rounds each weight to one of 255 values, spread over the range of its output channel. That
shifts the channel's mean by the mean input times the rounding errors. The shift is known in
advance, so the biases can make up for it (Nagel et al., "Data-Free Quantization Through Weight
Equalization and Bias Correction", 2019, https://arxiv.org/abs/1906.04721).
"""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from petseg.model.folding import DepthwiseConv2D, SeparableConv2D, batch_norm_of
from petseg.model.saved import SavedModel
from petseg.model.unet import build_unet, convolutions

_MAX_INT8 = 127

Array = NDArray[np.float64]


def correct_biases(saved: SavedModel, images: Sequence[NDArray[np.uint8]]) -> keras.Model:
    """Return a copy of the network whose biases make up for rounding its kernels to int8.

    The kernels themselves stay as they are. The images (H, W, 3) give the mean input of each
    convolution.
    """
    network = build_unet(saved.architecture)
    network.set_weights(saved.network.get_weights())
    mean_inputs = _mean_inputs(network, images)
    for conv in convolutions(network):
        mean_input = mean_inputs[conv.name]
        shift = _mean_output(conv, mean_input, rounded=True) - _mean_output(conv, mean_input)
        batch_norm = batch_norm_of(conv)
        if batch_norm is None:
            conv.bias.assign(conv.bias - shift)
        else:
            batch_norm.moving_mean.assign(batch_norm.moving_mean + shift)
    return network


def _mean_inputs(network: keras.Model, images: Sequence[NDArray[np.uint8]]) -> dict[str, Array]:
    """Return the mean (C,) of each convolution's input over the images, by the layer's name."""
    encoder = network.get_layer("encoder")
    before_encoder = network.layers[network.layers.index(encoder) - 1]  # gives it its input
    inner, outer = (
        {conv.name: conv.input for conv in convolutions(network) if conv in part.layers}
        for part in (encoder, network)
    )
    inputs = keras.Model(encoder.inputs, inner)(before_encoder.output) | outer
    means = keras.Model(network.inputs, {name: ops.mean(x, (1, 2)) for name, x in inputs.items()})
    per_image = [means.predict_on_batch(image[None]) for image in images]
    return {
        name: np.mean([outputs[name][0] for outputs in per_image], axis=0, dtype=np.float64)
        for name in inputs
    }


def _mean_output(conv: Any, mean_input: Array, rounded: bool = False) -> Array:
    """Return the mean (N,) of a convolution's output without its bias, as if there were no border.

    Zeros that pad the image are ignored, or count as inputs where a layer of their own adds them.
    """
    mean = mean_input
    for weights, is_depthwise in _kernels(conv):
        kernel = np.asarray(weights, np.float64)  # (h, w, C, N)
        if rounded:
            step = np.abs(kernel).max((0, 1, 3 if is_depthwise else 2), keepdims=True) / _MAX_INT8
            kernel = np.round(kernel / np.where(step > 0, step, 1)) * step
        total = kernel.sum((0, 1))  # (C, N)
        mean = mean * total[:, 0] if is_depthwise else mean @ total
    return mean


def _kernels(conv: Any) -> list[tuple[keras.Variable, bool]]:
    """Return a convolution's kernels in their order, and whether each is depthwise."""
    if isinstance(conv, SeparableConv2D):
        return [(conv.depthwise_kernel, True), (conv.pointwise_kernel, False)]
    return [(conv.kernel, isinstance(conv, DepthwiseConv2D))]
