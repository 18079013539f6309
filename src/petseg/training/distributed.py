"""What workers that train together tell each other beside gradients, and what it means if one is lost."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from petseg.core.errors import PetsegError, first_line
from petseg.training.cluster import Worker

_LOST = (tf.errors.AbortedError, tf.errors.DeadlineExceededError, tf.errors.UnavailableError)
_MAY_BE_LOST = (
    tf.errors.CancelledError,
    tf.errors.FailedPreconditionError,
    tf.errors.InternalError,
)


def broadcast_from_chief(strategy: tf.distribute.Strategy, worker: Worker, content: bytes) -> bytes:
    """The chief's bytes, to all workers. Every one calls it, and none goes on before all have."""
    if worker.num_workers == 1:
        return content
    length = int(_broadcast_from_chief(strategy, worker, np.array([len(content)]))[0])
    if not length:  # a sum of no numbers ends TensorFlow's process
        return b""
    words = np.zeros(-(-length // 8), np.int64)
    if worker.is_chief:
        words.view(np.uint8)[:length] = np.frombuffer(content, np.uint8)
    return _broadcast_from_chief(strategy, worker, words).tobytes()[:length]


def assert_same_config(strategy: tf.distribute.Strategy, worker: Worker, fingerprint: str) -> None:
    """Raises PetsegError on a worker whose fingerprint isn't the chief's."""
    if broadcast_from_chief(strategy, worker, fingerprint.encode()) != fingerprint.encode():
        raise PetsegError(
            f"Worker {worker.rank + 1} of {worker.num_workers} has other parameters, data, code or another environment than "
            "the first one; give all the same commit, params.yaml, shards, packages and kind of machine."
        )


@contextmanager
def translate_worker_failures(worker: Worker) -> Iterator[None]:
    """Raises PetsegError for what TensorFlow raises when a worker doesn't answer any more."""
    try:
        yield
    except (*_LOST, *_MAY_BE_LOST) as error:
        collective = [line for line in str(error).splitlines() if "Collective" in line]
        if worker.num_workers == 1 or not (collective or isinstance(error, _LOST)):
            raise
        reason = collective[0].strip() if collective else first_line(error)
        raise PetsegError(
            f"Another of the {worker.num_workers} workers doesn't answer any more ({reason}); "
            "start all of them again: the training goes on from its last checkpoint."
        ) from error


def _broadcast_from_chief(
    strategy: tf.distribute.Strategy, worker: Worker, numbers: NDArray[np.int64]
) -> NDArray[np.int64]:
    """The chief's numbers, as a sum to which everybody else, and its own other devices, add zeros."""
    given, nothing = tf.constant(numbers, tf.int64), tf.zeros(numbers.shape, tf.int64)
    values = strategy.experimental_distribute_values_from_function(
        lambda context: (
            given if worker.is_chief and context.replica_id_in_sync_group == 0 else nothing
        )
    )
    return np.asarray(strategy.reduce(tf.distribute.ReduceOp.SUM, values, axis=None))
