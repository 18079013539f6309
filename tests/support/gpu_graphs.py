"""What a GPU would make of a graph, asked without one.

TensorFlow's wheel for Linux is the CUDA build. On a machine without a GPU too it knows the GPU's
kernels, and optimizes graphs for any GPU that it is given.
"""

import functools
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import tensorflow as tf
from tensorflow.core.framework import kernel_def_pb2, types_pb2
from tensorflow.core.protobuf import config_pb2, device_properties_pb2
from tensorflow.python.framework import kernels, meta_graph
from tensorflow.python.grappler import cluster, tf_optimizer

# Ops that run on the host, or hand a tensor on without touching it: nothing is launched on the GPU.
_FREE = {
    *("Const", "NoOp", "Placeholder", "PartitionedCall", "StatefulPartitionedCall"),
    *("Identity", "IdentityN", "StopGradient", "ReadVariableOp", "VarIsInitializedOp"),
    *("Reshape", "ExpandDims", "Squeeze", "Shape", "ShapeN", "Rank", "Size"),
}

# The messages with which TensorFlow 2.21's GPU kernels refuse op determinism, from the binary, and
# the ops that they mean. Empty if no op is refused with today's cuDNN.
_NOT_YET = "Determinism is not yet supported "
_NO_GPU = "eterministic GPU implementation of "
REFUSALS = {
    f"{_NOT_YET}for DebugNumericSummaryV2 when tensor_debug_mode is CONCISE_HEALTH.": (
        "DebugNumericSummaryV2",
    ),
    f"{_NOT_YET}for DebugNumericSummaryV2 when tensor_debug_mode is FULL_HEALTH.": (
        "DebugNumericSummaryV2",
    ),
    f"{_NOT_YET}for Dilation2DBackpropFilter.": ("Dilation2DBackpropFilter",),
    f"{_NOT_YET}for Dilation2DBackpropInput.": ("Dilation2DBackpropInput",),
    f"{_NOT_YET}for MaxPoolGradWithArgmax.": ("MaxPoolGradWithArgmax",),
    f"{_NOT_YET}for SVD of matrices with 1 column.": ("Svd",),
    f"{_NOT_YET}in GPU implementation of Bincount.": ("Bincount",),
    f"{_NOT_YET}in GPU implementation of DenseBincount.": ("DenseBincount",),
    f"{_NOT_YET}in GPU implementation of FakeQuantWithMinMaxVarsGradient.": (
        "FakeQuantWithMinMaxVarsGradient",
    ),
    f"{_NOT_YET}in GPU implementation of FakeQuantWithMinMaxVarsPerChannelGradient.": (
        "FakeQuantWithMinMaxVarsPerChannelGradient",
    ),
    f"{_NOT_YET}in GPU implementation of Scatter ops with ref inputs. Consider using resource "
    "variables instead if you want to run Scatter when op determinism is enabled.": tuple(
        f"Scatter{kind}" for kind in ("Add", "Sub", "Mul", "Div", "Min", "Max", "Update")
    ),
    f"A d{_NO_GPU}AdjustContrast is not currently available.": ("AdjustContrast",),
    f"A d{_NO_GPU}AdjustContrastv2 is not currently available.": ("AdjustContrastv2",),
    f"A d{_NO_GPU}DepthwiseConvBackpropFilter is not available with this version of cuDNN. "
    "Please build with cuDNN version 7.6.3 or later.": (),
    f"A d{_NO_GPU}ResizeNearestNeighborGrad is not currently available.": (
        "ResizeNearestNeighborGrad",
    ),
    f"A d{_NO_GPU}SparseTensorDenseMatmulOp is not currently available.": (
        "SparseTensorDenseMatMul",
    ),
    f"A d{_NO_GPU}fused batch-norm backprop, when training is disabled, is not currently "
    "available.": ("FusedBatchNormGrad", "FusedBatchNormGradV2", "FusedBatchNormGradV3"),
    f"D{_NO_GPU}CropAndResizeBackpropBoxes not available.": ("CropAndResizeGradBoxes",),
    f"D{_NO_GPU}CropAndResizeBackpropImage not available.": ("CropAndResizeGradImage",),
    # Today the kernels choose a deterministic algorithm before they come to these messages.
    f"D{_NO_GPU}sorted segment reduction op not available.": (),
    f"D{_NO_GPU}unsorted segment reduction op not available.": (),
    # These two say so in other words, and that tf.nn avoids them if op determinism is on.
    "The GPU implementation of SoftmaxCrossEntropyWithLogits that would have been executed is not "
    "deterministic. Note that the Python API uses an alternative, deterministic, GPU-accelerated "
    "path when determinism is enabled.": ("SoftmaxCrossEntropyWithLogits",),
    "The GPU implementation of SparseSoftmaxCrossEntropyWithLogits that would have been executed "
    "is not deterministic. Note that the Python API uses an alternative, deterministic, "
    "GPU-accelerated path when determinsim is enabled.": ("SparseSoftmaxCrossEntropyWithLogits",),
}

_GPU, _CPU = (f"/job:localhost/replica:0/task:0/device:{name}:0" for name in ("GPU", "CPU"))
# What TensorFlow's default optimization of a graph does to a step, in its order.
_OPTIMIZERS = ("function", "constfold", "arithmetic", "layout", "remap", "dependency", "pruning")


def trace(step: Callable[..., Any], *signature: tf.TensorSpec) -> tf.Graph:
    return tf.function(step).get_concrete_function(*signature).graph


def nodes_of(graph: tf.Graph) -> list[Any]:
    """Return the nodes of a graph and of all functions in it."""
    graph_def = graph.as_graph_def()
    return [*graph_def.node, *(n for f in graph_def.library.function for n in f.node_def)]


def optimize(graph: tf.Graph, compute_capability: str) -> list[Any]:
    """Return the nodes that TensorFlow makes of a graph for a GPU, such as "7.5".

    All of them are on the GPU, where TensorFlow would leave some on the host.
    """
    meta = meta_graph.create_meta_graph_def(graph=graph)
    functions = meta.graph_def.library.function
    for node in (*meta.graph_def.node, *(n for f in functions for n in f.node_def)):
        node.device = _GPU
    results = [
        *(tensor.op.name for tensor in graph.outputs),
        *(o.name for o in graph.control_outputs),
    ]
    meta.collection_def["train_op"].node_list.value.extend(results)
    config = config_pb2.ConfigProto()
    rewriting = config.graph_options.rewrite_options
    rewriting.optimizers.extend(_OPTIMIZERS)
    rewriting.min_graph_nodes = -1  # optimize small graphs too
    return list(
        tf_optimizer.OptimizeGraph(
            config, meta, verbose=False, cluster=_virtual_gpu(compute_capability)
        ).node
    )


def lower_to_xla(step: Callable[..., Any], *arguments: tf.Tensor) -> str:
    """Translate a step into XLA's language, HLO.

    Ops that XLA can't run deterministically on a GPU are refused here, with a ValueError. What
    XLA's compiler for GPUs would make of the rest can't be asked without one.
    """
    compiled = tf.function(step, jit_compile=True)
    hlo: str = compiled.experimental_get_compiler_ir(*arguments)("hlo", platform_name="CPU")
    return hlo


def without_gpu_kernel(nodes: Iterable[Any]) -> set[str]:
    """Return the ops among these nodes that have no GPU kernel for their types."""
    return {node.op for node in nodes if not _has_gpu_kernel(node)}


def refusing_determinism(nodes: Iterable[Any]) -> set[str]:
    """Return the ops among these nodes that a GPU refuses to run with op determinism on."""
    refused = {op for ops in REFUSALS.values() for op in ops}
    return {
        node.op
        for node in nodes
        if node.op in refused
        # Only in inference mode.
        and not (node.op.startswith("FusedBatchNormGrad") and node.attr["is_training"].b)
    }


def count_launches(nodes: Iterable[Any]) -> int:
    """Count the kernels that a GPU would launch for these nodes, each op counting once.

    Ops on int32 count as free: TensorFlow computes with those on the host.
    """
    return sum(
        node.op not in _FREE
        and _has_gpu_kernel(node)
        and types_pb2.DT_INT32 not in (node.attr["T"].type, node.attr["Tparams"].type)
        for node in nodes
    )


def count_ops(nodes: Iterable[Any]) -> Counter[str]:
    return Counter(node.op for node in nodes)


def _has_gpu_kernel(node: Any) -> bool:
    return any(_fits(kernel, node) for kernel in _gpu_kernels(node.op))


@functools.cache
def _gpu_kernels(op: str) -> tuple[kernel_def_pb2.KernelDef, ...]:
    registered = kernels.get_registered_kernels_for_op(op).kernel
    return tuple(k for k in registered if k.device_type in ("GPU", "DEFAULT") and not k.label)


def _fits(kernel: kernel_def_pb2.KernelDef, node: Any) -> bool:
    """Whether the node's types are among those that the kernel is registered for."""
    for constraint in kernel.constraint:
        if constraint.name in node.attr:
            attr = node.attr[constraint.name]
            types = [attr.type] if attr.WhichOneof("value") == "type" else attr.list.type
            if not set(types) <= set(constraint.allowed_values.list.type):
                return False
    return True


def _virtual_gpu(compute_capability: str) -> cluster.Cluster:
    """Return a machine with such a GPU, of 16 GiB. TensorFlow doesn't check that it exists."""
    gpu, cpu = (device_properties_pb2.NamedDevice(name=name) for name in (_GPU, _CPU))
    gpu.properties.type, cpu.properties.type = "GPU", "CPU"
    gpu.properties.environment.update(
        {"architecture": compute_capability, "cuda": "12050", "cudnn": "90300"}
    )
    gpu.properties.num_cores, cpu.properties.num_cores = 40, 2
    gpu.properties.frequency, cpu.properties.frequency = 1500, 2000  # MHz
    gpu.properties.memory_size = 16 * 2**30
    gpu.properties.bandwidth = 300 * 10**6  # KB/s
    return cluster.Cluster(
        allow_soft_placement=True,
        disable_detailed_stats=True,
        disable_timeline=True,
        devices=[gpu, cpu],
    )
