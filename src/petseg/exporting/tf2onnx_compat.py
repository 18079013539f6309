"""Deterministic output from tf2onnx. Checked with tf2onnx 1.17 and onnx 1.23.

tf2onnx names nodes and orders constants differently on every run.
"""

import logging
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

_OPSET = 18  # from 2022, so that older runtimes can read the file
_DIMENSIONS = ("batch", "height", "width")


def function_to_onnx(function: Any, signature: Sequence[tf.TensorSpec]) -> bytes:
    """Convert a tf.function from one image batch to one batch of probabilities."""
    import tf2onnx

    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    model, _ = tf2onnx.convert.from_function(function, input_signature=signature, opset=_OPSET)
    model.graph.name, model.graph.doc_string = "unet", ""
    _name_output_and_dimensions(model.graph)
    _make_canonical(model.graph)
    return bytes(model.SerializeToString(deterministic=True))


def _name_output_and_dimensions(graph: Any) -> None:
    """Name the output and the dynamic dimensions of input and output."""
    (image,), (probabilities,) = graph.input, graph.output
    for node in graph.node:
        for index, name in enumerate(node.output):
            if name == probabilities.name:
                node.output[index] = "probabilities"
    probabilities.name = "probabilities"
    for value in (image, probabilities):
        dimensions = value.type.tensor_type.shape.dim
        for dimension, name in zip(dimensions, _DIMENSIONS, strict=False):
            dimension.dim_param = name


def _make_canonical(graph: Any) -> None:
    """Name nodes and tensors by position, and order constants by first use."""
    constants = {constant.name: constant for constant in graph.initializer}
    names = {value.name: value.name for value in (*graph.input, *graph.output)}
    for number, node in enumerate(graph.node):
        node.name = f"{node.op_type}_{number}"
        for index, name in enumerate(node.input):
            if name:  # empty if an optional input is omitted
                node.input[index] = names.setdefault(name, f"{node.name}.constant_{index}")
        for index, name in enumerate(node.output):
            default = node.name if index == 0 else f"{node.name}.{index}"
            node.output[index] = names.setdefault(name, default)
    used = [constants[name] for name in names if name in constants]
    for constant in used:
        constant.name = names[constant.name]
    del graph.initializer[:]
    graph.initializer.extend(used)
    del graph.value_info[:]  # inferred shapes under the old names; runtimes infer their own
