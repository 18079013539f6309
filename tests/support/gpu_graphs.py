"""What a GPU would make of a graph, asked without one.

TensorFlow's wheel for Linux is the CUDA build: it registers the GPU's kernels, and refuses their
nondeterministic ones, on a machine without a GPU as well.
"""

import functools
from collections import Counter
from collections.abc import Callable
from typing import Any

import tensorflow as tf
from tensorflow.core.framework import kernel_def_pb2, types_pb2
from tensorflow.python.framework import kernels

# Ops that run on the host, or hand a tensor on without touching it: nothing is launched on the GPU.
_FREE = {
    *("Const", "NoOp", "Placeholder", "PartitionedCall", "StatefulPartitionedCall"),
    *("Identity", "IdentityN", "StopGradient", "ReadVariableOp", "VarIsInitializedOp"),
    *("Reshape", "ExpandDims", "Squeeze", "Shape", "ShapeN", "Rank", "Size"),
}


def nodes_of(step: Callable[..., Any], *signature: tf.TensorSpec) -> list[Any]:
    """Return the nodes of a step's graph, with those of all functions in it."""
    graph_def = tf.function(step).get_concrete_function(*signature).graph.as_graph_def()
    nodes = list(graph_def.node)
    for function in graph_def.library.function:
        nodes += function.node_def
    return nodes


def dtypes_of(node: Any) -> dict[str, str]:
    """Return the node's type attributes, such as {"T": "DT_FLOAT"}."""
    return {
        name: types_pb2.DataType.Name(value.type)
        for name, value in node.attr.items()
        if value.WhichOneof("value") == "type"
    }


def has_gpu_kernel(node: Any) -> bool:
    return any(_fits(kernel, node) for kernel in _gpu_kernels(node.op))


def count_launches(nodes: list[Any]) -> int:
    """Count the kernels that a GPU would launch for these nodes, before TensorFlow fuses any.

    An op on int32 counts as free: TensorFlow computes with those on the host.
    """
    return sum(
        node.op not in _FREE
        and has_gpu_kernel(node)
        and "DT_INT32" not in (dtypes_of(node).get("T"), dtypes_of(node).get("Tparams"))
        for node in nodes
    )


def count_ops(nodes: list[Any]) -> Counter[str]:
    return Counter(node.op for node in nodes)


@functools.cache
def _gpu_kernels(op: str) -> tuple[kernel_def_pb2.KernelDef, ...]:
    registered = kernels.get_registered_kernels_for_op(op).kernel
    return tuple(k for k in registered if k.device_type in ("GPU", "DEFAULT") and not k.label)


def _fits(kernel: kernel_def_pb2.KernelDef, node: Any) -> bool:
    """Whether the node's types are among those that the kernel is registered for."""
    for constraint in kernel.constraint:
        attr = node.attr.get(constraint.name)
        if attr is None:
            continue
        types = [attr.type] if attr.WhichOneof("value") == "type" else list(attr.list.type)
        if not set(types) <= set(constraint.allowed_values.list.type):
            return False
    return True
