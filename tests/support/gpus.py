"""GPUs that TensorFlow seems to find, in this process or in all processes of a faked machine."""

import os
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

T4 = {"device_name": "Tesla T4", "compute_capability": (7, 5)}
L4 = {"device_name": "NVIDIA L4", "compute_capability": (8, 9)}


def fake_gpus(patch: pytest.MonkeyPatch, *details: dict[str, Any]) -> None:
    """Make TensorFlow list GPUs with these details. Nothing can run on them."""
    gpus = {
        tf.config.PhysicalDevice(f"/physical_device:GPU:{i}", "GPU"): detail
        for i, detail in enumerate(details)
    }
    original = tf.config.list_physical_devices
    patch.setattr(
        tf.config,
        "list_physical_devices",
        lambda kind=None: list(gpus) if kind == "GPU" else original(kind),
    )
    patch.setattr(tf.config.experimental, "get_device_details", gpus.__getitem__)


_NVIDIA_SMI = "#!/bin/sh\necho 'Tesla T4'\n"
_SITE = """
import importlib.abc, importlib.util, os, sys

MODULE = "tensorflow.python.eager.context"

class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name != MODULE:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        load = spec.loader.exec_module

        def exec_module(module):
            load(module)
            original = module.Context._initialize_physical_devices

            def initialize(context, reinitialize=False):
                original(context, reinitialize)
                gpu = module.PhysicalDevice("/physical_device:GPU:0", "GPU")
                is_visible = os.environ.get("CUDA_VISIBLE_DEVICES") not in ("", "-1")
                if is_visible and gpu not in context._physical_devices:
                    context._physical_devices.append(gpu)

            module.Context._initialize_physical_devices = initialize

        spec.loader.exec_module = exec_module
        return spec

sys.meta_path.insert(0, Finder())
"""


def gpu_machine(folder: Path) -> dict[str, str]:
    """Return environment variables with which processes seem to run on a machine with a GPU.

    nvidia-smi prints its name, and TensorFlow (2.21) lists it unless CUDA_VISIBLE_DEVICES hides it.
    """
    (folder / "nvidia-smi").write_text(_NVIDIA_SMI)
    (folder / "nvidia-smi").chmod(0o755)
    (folder / "sitecustomize.py").write_text(_SITE)
    environment = {
        name: os.pathsep.join((str(folder), os.environ.get(name, "")))
        for name in ("PATH", "PYTHONPATH")
    }
    return {k: v for k, v in os.environ.items() if k != "CUDA_VISIBLE_DEVICES"} | environment
