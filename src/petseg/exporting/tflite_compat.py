"""Convert to LiteRT with TensorFlow's undocumented tools. Checked with TensorFlow 2.20, 2.21."""

from typing import Any

import numpy as np
from tensorflow.lite.python import schema_py_generated as schema
from tensorflow.lite.tools import flatbuffer_utils
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2


def with_constant_weights(function: Any) -> Any:
    """Return a concrete function with its variables' values instead of the variables.

    TensorFlow's converter doesn't find the variables of Keras 3.13's networks.
    """
    return convert_variables_to_constants_v2(function)


def finish_file(content: bytes, metadata_name: str, metadata: bytes) -> bytes:
    """Add metadata to a file, and remove the names of inner tensors.

    No runtime needs those names, and they vary.
    """
    model = flatbuffer_utils.convert_bytearray_to_object(bytearray(content))
    for graph in model.subgraphs:
        named = {*graph.inputs, *graph.outputs}
        for number, tensor in enumerate(graph.tensors):
            if number not in named:
                tensor.name = b""
    buffer, entry = schema.BufferT(), schema.MetadataT()
    buffer.data = np.frombuffer(metadata, np.uint8)
    entry.name, entry.buffer = metadata_name, len(model.buffers)
    model.buffers.append(buffer)
    model.metadata.append(entry)
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def biases_by_kernel(content: bytes) -> dict[int, int]:
    """Map the index of each convolution's kernel to that of its bias."""
    model = flatbuffer_utils.convert_bytearray_to_object(bytearray(content))
    codes = (schema.BuiltinOperator.CONV_2D, schema.BuiltinOperator.DEPTHWISE_CONV_2D)
    return {
        int(operator.inputs[1]): int(operator.inputs[2])
        for operator in model.subgraphs[0].operators
        if model.operatorCodes[operator.opcodeIndex].builtinCode in codes
    }
