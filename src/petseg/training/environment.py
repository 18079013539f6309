"""What the bytes of a deterministic run depend on besides parameters, data and code."""

import os
import platform
import re
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import h5py
import keras
import numpy as np
import tensorflow as tf

from petseg.config.types import Precision
from petseg.training.devices import Gpu, find_gpus
from petseg.training.numpy_compat import has_cpu_feature

# Newest first. The first that the processor has decides which kernels TensorFlow's libraries use.
_INSTRUCTION_SETS = ("AVX512_SPR", "AVX512_ICL", "AVX512_SKX", "AVX512F", "AVX2", "SVE", "ASIMD")

# Environment variables that select other kernels or compilers.
_KERNEL_SWITCHES = (
    "TF_ENABLE_ONEDNN_OPTS",
    "ONEDNN_MAX_CPU_ISA",
    "DNNL_MAX_CPU_ISA",
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "TF_SET_ONEDNN_FPMATH_MODE",
    "TF_XLA_FLAGS",
    "XLA_FLAGS",
    "NVIDIA_TF32_OVERRIDE",
)

_GPU_KERNEL_SWITCHES = (
    "CUBLAS_WORKSPACE_CONFIG",
    "TF_CUBLAS_WORKSPACE_LIMIT_IN_MB",
    "TF_CUDNN_DETERMINISTIC",
    "TF_CUDNN_DISABLE_CONV_1X1_OPTIMIZATION",
    "TF_CUDNN_USE_AUTOTUNE",
    "TF_CUDNN_USE_RUNTIME_FUSION",
    "TF_CUDNN_WORKSPACE_LIMIT_IN_MB",
    "TF_ENABLE_WINOGRAD_NONFUSED",
    "TF_MATMUL_AUTOTUNE_ENABLE",
    "TF_USE_CUBLASLT",
    "TF_USE_CUDNN_BATCHNORM_SPATIAL_PERSISTENT",
)

# The CPU feature that computes in a precision without emulating it.
_PRECISION_FEATURES = {"mixed_bfloat16": "AVX512BF16", "mixed_float16": "AVX512FP16"}

_DRIVER_FILE = Path("/proc/driver/nvidia/version")


def describe_environment(num_workers: int = 1, precision: Precision = "float32") -> str:
    """Return one line: workers, devices, instruction set, switches, threads and versions."""
    workers = f"{num_workers} workers, " if num_workers > 1 else ""
    gpus = find_gpus()
    device = _describe_gpus(gpus) if gpus else "CPU"
    switches = [
        f", {name}={os.environ[name]}"
        for name in _KERNEL_SWITCHES + (_GPU_KERNEL_SWITCHES if gpus else ())
        if os.environ.get(name)
    ]
    python = f"Python {sys.version_info[0]}.{sys.version_info[1]}"
    packages = ", ".join(
        f"{module.__name__} {module.__version__}" for module in (tf, keras, np, h5py)
    )
    return (
        f"{workers}{device}, {_describe_processor(precision)}{''.join(switches)}, "
        f"{_num_threads()} threads, {python}, {packages}"
    )


def _describe_gpus(gpus: Sequence[Gpu]) -> str:
    """Return the GPUs, what computes on them, and whether float32 is rounded to TF32.

    The driver counts too: it compiles the kernels for GPUs newer than TensorFlow's build.
    """
    build = tf.sysconfig.get_build_info()
    cuda = build.get("cuda_version", "unknown")
    libraries = {"CUDA": cuda, "cuDNN": build.get("cudnn_version", "unknown")}
    for name in ("cuDNN", "cuBLAS"):
        with suppress(PackageNotFoundError):  # the version that pip installed, exactly
            libraries[name] = version(f"nvidia-{name.lower()}-cu{cuda.split('.')[0]}")
    versions = ", ".join(f"{name} {number}" for name, number in libraries.items())
    tf32 = "on" if tf.config.experimental.tensor_float_32_execution_enabled() else "off"
    return f"{', '.join(map(str, gpus))}, driver {_driver_version()}, {versions}, TF32 {tf32}"


def _driver_version() -> str:
    """Return the version of NVIDIA's driver, such as 550.54.15, or "unknown"."""
    with suppress(OSError):  # there is none in Windows's subsystem for Linux
        text = _DRIVER_FILE.read_text(encoding="utf-8")
        if found := re.search(r"Kernel Module.*?\s(\d+\.[\d.]+)\s", text):
            return found[1]
    with suppress(OSError):
        command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode == 0 and done.stdout:
            return done.stdout.splitlines()[0]
    return "unknown"


def _describe_processor(precision: Precision) -> str:
    """Return the architecture and the newest instruction set."""
    newest = next((name for name in _INSTRUCTION_SETS if has_cpu_feature(name)), "baseline")
    feature = _PRECISION_FEATURES.get(precision)
    also = f" {feature}" if feature and has_cpu_feature(feature) else ""
    return f"{platform.machine()} {newest}{also}"


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
