"""Read shards sequentially with tf.data, with only a few batches in memory at a time."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import tensorflow as tf

from petseg.core.errors import first_line, translate
from petseg.core.process import raise_open_file_limit
from petseg.shards.example import parse_example
from petseg.shards.manifest import ShardSet
from petseg.shards.tf_data import PARALLEL_CALLS, finalize_dataset

MAX_OPEN_SHARDS = 16
"""How many shards of a split all workers together read at a time."""

_T = TypeVar("_T")
_END = object()

_READ_ERRORS = (
    tf.errors.InvalidArgumentError,
    tf.errors.DataLossError,
    tf.errors.NotFoundError,
    tf.errors.FailedPreconditionError,
    UnicodeDecodeError,  # TensorFlow quotes broken bytes, which Python can't decode
)


def example_batches(shards: ShardSet, batch_size: int, *, tiled: bool = False) -> tf.data.Dataset:
    """Return batches of a split's examples (see `parse_example`), in the order of `sequential`.

    Tiles have their positions, too, and come in the order in which they were written, however many
    shards there are; all are open at once.
    """
    max_open = len(shards.paths) if tiled else MAX_OPEN_SHARDS
    raise_open_file_limit(max_open)
    batches = sequential(shards, max_open).batch(batch_size)
    parsed = batches.map(
        lambda records: parse_example(records, shards.image_size, shards.num_classes, tiled=tiled),
        PARALLEL_CALLS,
    )
    return finalize_dataset(parsed, prefetch=2)


def read_batches(batches: tf.data.Dataset) -> Iterator[Any]:
    """Iterate over a dataset.

    Raises PetsegError if its shards change, end early or disappear while they are read.
    """
    iterator = iter(batches)
    while True:
        with translate(_read_failure, *_READ_ERRORS):
            batch = next(iterator, _END)
        if batch is _END:
            return
        yield batch


def prefetch(items: Iterator[_T]) -> Iterator[_T]:
    """Yield the same items, computing each in a thread while the caller works on the previous item.

    An exception is raised when its item is requested. Closing waits for the item in progress.
    """
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(next, items, _END)
        while (item := future.result()) is not _END:
            future = pool.submit(next, items, _END)
            yield item  # type: ignore[misc]


def _read_failure(error: Exception) -> str:
    reason = first_line(error)
    return f"Reading the shards failed ({reason}); run dvc checkout --force, then dvc repro."


def sequential(shards: ShardSet, max_open: int = MAX_OPEN_SHARDS) -> tf.data.Dataset:
    """Return this worker's serialized examples, one from each shard in turn.

    With up to 16 shards, this is the order in which they were written. With more, all workers
    together read `max_open` at a time.
    """
    max_open = max(1, max_open // shards.num_workers)
    return assert_count(interleave_shards(shards.paths, max_open), shards)


def interleave_shards(paths: Sequence[str], max_open: int) -> tf.data.Dataset:
    """Return the examples of shards, serialized, one from each in turn, `max_open` at a time."""
    names = tf.data.Dataset.from_tensor_slices(list(paths))
    return names.interleave(tf.data.TFRecordDataset, min(max_open, len(paths)), 1)


def assert_count(records: tf.data.Dataset, shards: ShardSet) -> tf.data.Dataset:
    """Return the same records, but fail at the end if there are more or fewer than in the manifest.

    Otherwise a shard that was truncated between two records would be read without an error.
    """
    return records.apply(tf.data.experimental.assert_cardinality(shards.num_worker_examples))
