"""Select the training devices."""

import os
from collections.abc import Sequence

import tensorflow as tf

from petseg.training.cluster import SINGLE_WORKER, Worker


def find_devices() -> tuple[list[str], str]:
    """Return the names of the training devices (all GPUs, or else the CPU) and a description."""
    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    if not gpus:
        return ["CPU:0"], (
            f"the CPU ({os.cpu_count()} cores; no GPU found, TF_CPP_MIN_LOG_LEVEL=0 shows why)"
        )
    details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
    names = ", ".join(detail.get("device_name", "GPU") for detail in details)
    count = "1 GPU" if len(gpus) == 1 else f"{len(gpus)} GPUs"
    return [f"GPU:{i}" for i in range(len(gpus))], f"{count} ({names})"


def set_intra_op_threads(threads: int) -> None:
    """Split each operation among this many threads, 0 meaning one per core.

    Must be called before TensorFlow's first operation. On the CPU, gradients are summed in as many
    parts, so this number affects the last bits of the result; the number of cores does not.
    """
    tf.config.threading.set_intra_op_parallelism_threads(threads)


def strategy_for(devices: Sequence[str], worker: Worker = SINGLE_WORKER) -> tf.distribute.Strategy:
    """Return a strategy with one replica of the network per device of all workers.

    With several workers, wait for all of them; call it before TensorFlow's first operation.
    """
    if worker.num_workers > 1:
        return tf.distribute.MultiWorkerMirroredStrategy()
    if len(devices) > 1:
        return tf.distribute.MirroredStrategy(list(devices))
    return tf.distribute.OneDeviceStrategy(devices[0])
