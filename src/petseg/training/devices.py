"""Select the training devices."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

import tensorflow as tf

from petseg.training.cluster import SINGLE_WORKER, Worker

# In seconds. Workers wait for each other while one compiles, or reads or writes a checkpoint.
# Without a timeout they would wait forever for one that is stuck.
_COLLECTIVE_TIMEOUT = 1800.0


@dataclass(frozen=True)
class Gpu:
    """A GPU that TensorFlow can use."""

    name: str  # such as "Tesla T4"
    compute_capability: tuple[int, int]  # of NVIDIA's GPUs, such as (7, 5); else (0, 0)

    def __str__(self) -> str:
        major, minor = self.compute_capability
        return f"{self.name} (compute capability {major}.{minor})" if major else self.name


def find_gpus() -> list[Gpu]:
    """Return the GPUs that TensorFlow can use, in the order of their numbers."""
    details = map(tf.config.experimental.get_device_details, tf.config.list_physical_devices("GPU"))
    return [
        Gpu(detail.get("device_name", "GPU"), detail.get("compute_capability", (0, 0)))
        for detail in details
    ]


def find_devices() -> tuple[list[str], str]:
    """Return the names of the training devices (all GPUs, or else the CPU) and a description."""
    gpus = find_gpus()
    if not gpus:
        return ["CPU:0"], (
            f"the CPU ({os.cpu_count()} cores; no GPU found, TF_CPP_MIN_LOG_LEVEL=0 shows why)"
        )
    names = ", ".join(gpu.name for gpu in gpus)
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
        options = tf.distribute.experimental.CommunicationOptions(
            timeout_seconds=_COLLECTIVE_TIMEOUT
        )
        return tf.distribute.MultiWorkerMirroredStrategy(communication_options=options)
    if len(devices) > 1:
        return tf.distribute.MirroredStrategy(list(devices))
    return tf.distribute.OneDeviceStrategy(devices[0])
