"""Reading shards in sequence, with tf.data: memory holds a few batches, whatever the size of the data set."""

from collections.abc import Iterator, Sequence
from typing import Any

import tensorflow as tf

from petseg.core.errors import PetsegError, first_line
from petseg.shards.example import parse_example
from petseg.shards.manifest import ShardSet
from petseg.shards.storage import is_stored, read_remote_shard, recover_error
from petseg.shards.tf_data import PARALLEL_CALLS, finalize_dataset

MAX_OPEN_SHARDS = 16
"""Shards of a split that are read at a time, by all workers together."""

_REMOTE_PREFETCH = 32  # examples read ahead while the next shard is fetched
_READ_ERRORS = (
    tf.errors.InvalidArgumentError,
    tf.errors.DataLossError,
    tf.errors.NotFoundError,
    tf.errors.FailedPreconditionError,
    UnicodeDecodeError,  # TensorFlow quotes the broken bytes in its message, which Python can't decode
)


def example_batches(shards: ShardSet, batch_size: int) -> tf.data.Dataset:
    """A whole split with every field of its examples (see `parse_example`), in the order of `sequential`."""
    batches = sequential(shards).batch(batch_size)
    parsed = batches.map(
        lambda records: parse_example(records, shards.image_size, shards.classes), PARALLEL_CALLS
    )
    return finalize_dataset(parsed, prefetch=2)


def read_batches(batches: tf.data.Dataset) -> Iterator[Any]:
    """Iterate over a dataset. Raises PetsegError if its shards change, end early or vanish while they are read."""
    iterator = iter(batches)
    while True:
        try:
            batch = next(iterator)
        except StopIteration:
            return
        except tf.errors.UnknownError as error:
            raise recover_error(error) or error from None
        except _READ_ERRORS as error:
            raise PetsegError(
                f"The shards can't be read any further ({first_line(error)}); run dvc checkout --force, then dvc repro."
            ) from error
        yield batch


def sequential(shards: ShardSet) -> tf.data.Dataset:
    """This worker's serialized examples, one from each shard in turn.

    With up to 16 shards that is the order in which they were written; of more, all workers together read 16 at a time.
    """
    return assert_count(
        interleave_shards(shards.paths, max(1, MAX_OPEN_SHARDS // shards.num_workers)), shards
    )


def interleave_shards(paths: Sequence[str], max_open: int) -> tf.data.Dataset:
    """The serialized examples of shards, one from each in turn, with at most `max_open` shards open at a time."""
    names = tf.data.Dataset.from_tensor_slices(list(paths))
    if any(map(is_stored, paths)):
        return names.interleave(read_remote_shard, min(max_open, len(paths)), 1).prefetch(
            _REMOTE_PREFETCH
        )
    return names.interleave(tf.data.TFRecordDataset, min(max_open, len(paths)), 1)


def assert_count(records: tf.data.Dataset, shards: ShardSet) -> tf.data.Dataset:
    """The same records; their end is an error if they are fewer or more than the manifest says.

    A shard that was cut between two records would otherwise read without one.
    """
    return records.apply(tf.data.experimental.assert_cardinality(shards.own_examples))
