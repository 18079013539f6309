"""What to train on: found by itself, told once."""

import os
from collections.abc import Sequence

import tensorflow as tf

from petseg.training.cluster import SINGLE_WORKER, Worker


def find_devices() -> tuple[list[str], str]:
    """The names of the devices to train on, and a sentence about them: all GPUs, else the CPU."""
    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    if not gpus:
        return [
            "CPU:0"
        ], f"the CPU ({os.cpu_count()} cores; no GPU was found; TF_CPP_MIN_LOG_LEVEL=0 tells why)"
    names = [
        tf.config.experimental.get_device_details(gpu).get("device_name", "GPU") for gpu in gpus
    ]
    return [
        f"GPU:{i}" for i in range(len(gpus))
    ], f"{len(gpus)} GPU{'s' * (len(gpus) > 1)} ({', '.join(names)})"


def strategy_for(devices: Sequence[str], worker: Worker = SINGLE_WORKER) -> tf.distribute.Strategy:
    """One copy of the network per device, every batch divided among them, on all workers.

    With several workers it waits for them, and must be made before TensorFlow's first operation.
    """
    if worker.num_workers > 1:
        return tf.distribute.MultiWorkerMirroredStrategy()
    if len(devices) > 1:
        return tf.distribute.MirroredStrategy(list(devices))
    return tf.distribute.OneDeviceStrategy(devices[0])
