"""GPUs that TensorFlow seems to find."""

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
