"""Edit LiteRT files with TensorFlow's undocumented tools. Checked with TensorFlow 2.21."""

from tensorflow.lite.tools import flatbuffer_utils


def strip_tensor_names(content: bytes) -> bytes:
    """Remove the names of a model's inner tensors, which no runtime needs and which vary."""
    model = flatbuffer_utils.convert_bytearray_to_object(bytearray(content))
    for graph in model.subgraphs:
        named = {*graph.inputs, *graph.outputs}
        for number, tensor in enumerate(graph.tensors):
            if number not in named:
                tensor.name = b""
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))
