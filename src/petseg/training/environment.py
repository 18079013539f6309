"""What the bytes of a deterministic run depend on besides parameters, data and code."""

import os
import platform
import sys

import h5py
import keras
import numpy as np
import tensorflow as tf

from petseg.config.types import Precision
from petseg.training.numpy_compat import has_cpu_feature

# Newest first. The first that the processor has decides which kernels TensorFlow's libraries use.
_INSTRUCTION_SETS = ("AVX512_SPR", "AVX512_ICL", "AVX512_SKX", "AVX512F", "AVX2", "SVE", "ASIMD")

# Environment variables that select other kernels or compilers.
_KERNEL_SWITCHES = (
    "TF_ENABLE_ONEDNN_OPTS",
    "ONEDNN_MAX_CPU_ISA",
    "DNNL_MAX_CPU_ISA",
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "TF_XLA_FLAGS",
    "XLA_FLAGS",
    "NVIDIA_TF32_OVERRIDE",
)


def describe_environment(num_workers: int = 1, precision: Precision = "float32") -> str:
    """Return one line: workers, device, instruction set, threads and versions."""
    workers = f"{num_workers} workers, " if num_workers > 1 else ""
    gpus = [
        tf.config.experimental.get_device_details(gpu).get("device_name", "GPU")
        for gpu in tf.config.list_physical_devices("GPU")
    ]
    device = ", ".join(gpus) or "CPU"
    python = f"Python {sys.version_info[0]}.{sys.version_info[1]}"
    packages = ", ".join(
        f"{module.__name__} {module.__version__}" for module in (tf, keras, np, h5py)
    )
    return (
        f"{workers}{device}, {_describe_processor(precision)}, {_num_threads()} threads, {python}, "
        f"{packages}"
    )


def _describe_processor(precision: Precision) -> str:
    """Return the architecture, the newest instruction set, and the switches that are set."""
    newest = next((name for name in _INSTRUCTION_SETS if has_cpu_feature(name)), "baseline")
    has_bfloat16 = precision != "float32" and has_cpu_feature("AVX512BF16")
    switches = [f", {name}={os.environ[name]}" for name in _KERNEL_SWITCHES if os.environ.get(name)]
    return (
        f"{platform.machine()} {newest}{' AVX512BF16' if has_bfloat16 else ''}{''.join(switches)}"
    )


def _num_threads() -> int:
    """Return TensorFlow's threads per operation, which decide the order of additions."""
    configured = tf.config.threading.get_intra_op_parallelism_threads() or int(
        os.environ.get("TF_NUM_INTRAOP_THREADS") or 0
    )
    if configured:
        return int(configured)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
