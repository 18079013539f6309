"""A network in another runtime's format. All take images of 0..255 and give probabilities.

| format | image | probabilities | batch | height and width |
|---|---|---|---|---|
| litert_float32, litert_float16 | float32 | float32 | 1 | the model's |
| litert_int8 | uint8 | uint8, 1/256 each | 1 | the model's |
| onnx | float32 | float32 | any | any multiples of 32 |

LiteRT's shapes are fixed, since its fast kernels take no others. The same weights give the same bytes.
"""

import logging
import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TextIO

import keras
import numpy as np
import tensorflow as tf
from keras import layers
from numpy.typing import NDArray
from tensorflow.lite.tools import flatbuffer_utils
from tqdm import tqdm

from petseg.config.types import ExportFormat
from petseg.core.errors import PetsegError, first_line
from petseg.core.process import suppress_stderr
from petseg.model.folding import fold_batch_norms

_OPSET = 18  # of ONNX, from 2022: what runs it may be a little old


def convert(
    network: keras.Model, size: int, to: ExportFormat, examples: Sequence[NDArray[np.uint8]]
) -> bytes:
    """The file's content. `examples`, images (size, size, 3), tell int8 the range of each layer's numbers.

    Raises PetsegError if the format's converter refuses the network.
    """
    try:
        with suppress_stderr() as stderr, warnings.catch_warnings():
            warnings.filterwarnings(
                "ignore", "Statistics for quantized inputs were expected"
            )  # they are given
            if to == "onnx":
                return _to_onnx(network)
            return _to_litert(network, size, to, examples, stderr)
    except Exception as error:  # each converter has errors of its own
        raise PetsegError(
            f"This network can't be converted to {to} ({first_line(error)}); take it out of export.formats."
        ) from error


def _to_litert(
    network: keras.Model,
    size: int,
    to: ExportFormat,
    examples: Sequence[NDArray[np.uint8]],
    progress: TextIO,
) -> bytes:
    @tf.function(input_signature=[tf.TensorSpec([1, size, size, 3], tf.float32, name="image")])
    def score(image: tf.Tensor) -> tf.Tensor:
        return tf.nn.softmax(network(image, training=False))

    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [score.get_concrete_function()], network
    )
    if to != "litert_float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if to == "litert_float16":
        converter.target_spec.supported_types = [tf.float16]
    if to == "litert_int8":
        converter.representative_dataset = lambda: _calibration(
            tqdm(examples, "calibrate int8", unit="picture", disable=None, file=progress)
        )
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.uint8
    return _without_inner_names(converter.convert())


def _without_inner_names(content: bytes) -> bytes:
    """The same file without the names of what lies between image and probabilities, which nothing at run time needs."""
    model = flatbuffer_utils.convert_bytearray_to_object(bytearray(content))
    for graph in model.subgraphs:
        ends = {*graph.inputs, *graph.outputs}
        for number, tensor in enumerate(graph.tensors):
            if number not in ends:
                tensor.name = b""
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def _calibration(examples: Iterable[NDArray[np.uint8]]) -> Iterator[list[NDArray[np.float32]]]:
    """The examples one by one; a black and a white pixel in the first make a byte of the input a pixel's value."""
    for number, pixels in enumerate(examples):
        image = pixels.astype(np.float32)[None]
        if number == 0:
            image[0, 0, :2] = [[0.0], [255.0]]
        yield [image]


def _to_onnx(network: keras.Model) -> bytes:
    import tf2onnx

    of_any_size = _with_sizes_at_run_time(network)
    signature = [tf.TensorSpec([None, None, None, 3], tf.float32, name="image")]

    @tf.function(input_signature=signature)
    def score(image: tf.Tensor) -> tf.Tensor:
        return tf.nn.softmax(of_any_size(image, training=False))

    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    model, _ = tf2onnx.convert.from_function(score, input_signature=signature, opset=_OPSET)
    _name_ends(model.graph)
    model.graph.name, model.graph.doc_string = "unet", ""
    _make_canonical(model.graph)
    return bytes(model.SerializeToString(deterministic=True))


class _UpSampling(layers.UpSampling2D):
    """Keras's layer of the same name, which in a graph wants to know the size beforehand."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return tf.image.resize(inputs, tf.shape(inputs)[1:3] * self.size, method="bilinear")


def _with_sizes_at_run_time(network: keras.Model) -> keras.Model:
    """The same network with the same weights for images of any size."""

    def clone(layer: layers.Layer) -> layers.Layer:
        if isinstance(layer, keras.Model):  # the encoder, which enlarges nothing
            return layer
        kind = _UpSampling if isinstance(layer, layers.UpSampling2D) else type(layer)
        return kind.from_config(layer.get_config())

    copy = keras.models.clone_model(network, keras.Input((None, None, 3)), clone_function=clone)
    fold_batch_norms(copy)
    copy.set_weights(network.get_weights())
    return copy


def _name_ends(graph: Any) -> None:
    """Say what goes in and comes out, and which of their sizes may vary."""
    (image,), (probabilities,) = graph.input, graph.output
    for node in graph.node:
        node.output[:] = [
            "probabilities" if name == probabilities.name else name for name in node.output
        ]
    probabilities.name = "probabilities"
    for value in (image, probabilities):
        for dimension, name in zip(
            value.type.tensor_type.shape.dim, ("batch", "height", "width"), strict=False
        ):
            dimension.dim_param = name


def _make_canonical(graph: Any) -> None:
    """Names by place, constants in the order of their first use: tf2onnx's own change from run to run."""
    constants = {constant.name: constant for constant in graph.initializer}
    names = {value.name: value.name for value in (*graph.input, *graph.output)}
    for number, node in enumerate(graph.node):
        node.name = f"{node.op_type}_{number}"
        for place, name in enumerate(node.input):
            if name:  # an input that is left out has none
                node.input[place] = names.setdefault(name, f"{node.name}.constant_{place}")
        for place, name in enumerate(node.output):
            node.output[place] = names.setdefault(
                name, node.name if place == 0 else f"{node.name}.{place}"
            )
    ordered = [constants[name] for name in names if name in constants]
    for constant in ordered:
        constant.name = names[constant.name]
    del graph.initializer[:]
    graph.initializer.extend(ordered)
    del graph.value_info[:]  # sizes under the old names, which a runtime finds out by itself
