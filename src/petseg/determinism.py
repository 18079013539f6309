"""The same numbers on every run on this kind of machine, and what "this kind" means."""

import os
import platform
import sys

import h5py
import keras
import numpy as np
import tensorflow as tf
from numpy._core._multiarray_umath import __cpu_features__

# From the newest: the first that the processor has decides which kernels TensorFlow's libraries take.
_INSTRUCTION_SETS = ("AVX512_SPR", "AVX512_ICL", "AVX512_SKX", "AVX512F", "AVX2", "SVE", "ASIMD")

# Environment variables that choose other kernels or compilers.
_SWITCHES = (
    "TF_ENABLE_ONEDNN_OPTS",
    "ONEDNN_MAX_CPU_ISA",
    "DNNL_MAX_CPU_ISA",
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "TF_XLA_FLAGS",
    "XLA_FLAGS",
    "NVIDIA_TF32_OVERRIDE",
)


def make_deterministic() -> None:
    """Let TensorFlow choose only operations whose results are the same every time.

    On the CPU its graph rewriter is left out as well: with it the input gradient of a batch norm differed in its last
    bits in about one step of four, op determinism or not (TensorFlow 2.21, two cores), without it in none of 299.
    """
    tf.config.experimental.enable_op_determinism()
    if not tf.config.list_physical_devices("GPU"):
        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})


def limit_threads(threads: int) -> None:
    """Divide each operation among so many threads, 0 meaning one per core; before TensorFlow's first operation.

    On the CPU a gradient's sums are added up in as many parts, so the number decides the last bits; how many cores
    work at them does not.
    """
    tf.config.threading.set_intra_op_parallelism_threads(threads)


def describe_environment(workers: int = 1, precision: str = "float32") -> str:
    """What a deterministic training's bytes depend on besides parameters, data and code, in one line."""
    gpus = [
        tf.config.experimental.get_device_details(gpu)
        for gpu in tf.config.list_physical_devices("GPU")
    ]
    device = ", ".join(details.get("device_name", "GPU") for details in gpus) or "CPU"
    packages = ", ".join(
        f"{module.__name__} {module.__version__}" for module in (tf, keras, np, h5py)
    )
    python = f"Python {sys.version_info[0]}.{sys.version_info[1]}"
    together = f"{workers} workers, " if workers > 1 else ""
    return f"{together}{device}, {_instructions(precision)}, {_threads()} threads, {python}, {packages}"


def _instructions(precision: str) -> str:
    """The processor's family, its newest instruction set that matters, what the user told TensorFlow's libraries."""
    newest = next((name for name in _INSTRUCTION_SETS if __cpu_features__.get(name)), "baseline")
    bfloat16 = (
        " AVX512BF16" if precision != "float32" and __cpu_features__.get("AVX512BF16") else ""
    )
    told = [f", {name}={os.environ[name]}" for name in _SWITCHES if os.environ.get(name)]
    return f"{platform.machine()} {newest}{bfloat16}{''.join(told)}"


def _threads() -> int:
    """How many threads an operation of TensorFlow is divided among: sums are then added up in another order."""
    told = tf.config.threading.get_intra_op_parallelism_threads() or int(
        os.environ.get("TF_NUM_INTRAOP_THREADS") or 0
    )
    if told:
        return int(told)
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1
