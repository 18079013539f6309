"""Communication between workers besides gradients, and errors when one of them is lost."""

from contextlib import AbstractContextManager

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from petseg.core.errors import PetsegError, first_line, translate
from petseg.training.cluster import Worker

_LOST = (tf.errors.AbortedError, tf.errors.DeadlineExceededError, tf.errors.UnavailableError)
_MAYBE_LOST = (
    tf.errors.CancelledError,
    tf.errors.FailedPreconditionError,
    tf.errors.InternalError,
)


def broadcast_from_chief(strategy: tf.distribute.Strategy, worker: Worker, content: bytes) -> bytes:
    """Return the chief's bytes on every worker. All workers must call it; each waits for all."""
    if worker.num_workers == 1:
        return content
    length = int(_broadcast_integers(strategy, worker, np.array([len(content)]))[0])
    if not length:  # reducing an empty tensor would crash TensorFlow
        return b""
    words = np.zeros(-(-length // 8), np.int64)
    if worker.is_chief:
        words.view(np.uint8)[:length] = np.frombuffer(content, np.uint8)
    return _broadcast_integers(strategy, worker, words).tobytes()[:length]


def assert_same_config(strategy: tf.distribute.Strategy, worker: Worker, fingerprint: str) -> None:
    """Raise PetsegError on a worker whose fingerprint differs from the chief's."""
    if broadcast_from_chief(strategy, worker, fingerprint.encode()) != fingerprint.encode():
        raise PetsegError(
            f"{str(worker).capitalize()} has different parameters, data, code or environment from "
            "worker 1; use the same commit, params.yaml, shards, packages and kind of machine on "
            "all workers."
        )


def translate_worker_failures(worker: Worker) -> AbstractContextManager[None]:
    """Raise PetsegError for TensorFlow's errors in the block that mean a lost worker."""

    def explain(error: Exception) -> str | None:
        collective = [line.strip() for line in str(error).splitlines() if "Collective" in line]
        if worker.num_workers == 1 or not (collective or isinstance(error, _LOST)):
            return None
        reason = collective[0] if collective else first_line(error)
        return (
            f"One of the {worker.num_workers} workers was lost ({reason}); restart all of them: "
            "training resumes from the last checkpoint."
        )

    return translate(explain, *_LOST, *_MAYBE_LOST)


def _broadcast_integers(
    strategy: tf.distribute.Strategy, worker: Worker, values: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return the chief's integers: a sum in which all other replicas contribute zeros."""
    own, zeros = tf.constant(values, tf.int64), tf.zeros(values.shape, tf.int64)

    def contribution(context: tf.distribute.ReplicaContext) -> tf.Tensor:
        return own if worker.is_chief and context.replica_id_in_sync_group == 0 else zeros

    per_replica = strategy.experimental_distribute_values_from_function(contribution)
    return np.asarray(strategy.reduce(tf.distribute.ReduceOp.SUM, per_replica, axis=None))
