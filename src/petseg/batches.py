"""From shards to batches, with tf.data. Reading streams: memory holds the shuffle buffer and a few batches.

Every order is a pure function of (seed, epoch), so an epoch can be repeated alone, from any step on, after a restart or
elsewhere.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from petseg.augment import augment, draw
from petseg.classes import IGNORE_LABEL
from petseg.errors import PetsegError, first_line
from petseg.params import AugmentParams
from petseg.records.example import parse_pixels, parse_whole
from petseg.records.manifest import ShardSet
from petseg.streams import PARALLEL_CALLS, as_stream

_SHUFFLE_STREAM = 1
_UNREADABLE = (
    tf.errors.InvalidArgumentError,
    tf.errors.DataLossError,
    tf.errors.NotFoundError,
    tf.errors.FailedPreconditionError,
    UnicodeDecodeError,  # TensorFlow quotes the broken bytes in its message, which Python then can't read
)


def training_batches(
    shards: ShardSet,
    batch_size: int,
    shuffle_buffer: int,
    params: AugmentParams,
    seed: int,
    epoch: int,
    skip: int = 0,
) -> tf.data.Dataset:
    """One epoch of (image (B, S, S, 3) float32 of 0..255, mask (B, S, S) uint8), shuffled and augmented.

    The first `skip` batches are left out, and so is the last, incomplete one: another choice of pictures each epoch.
    """
    rng = np.random.default_rng([_SHUFFLE_STREAM, seed, epoch])
    records = _records(shards, rng.permutation(len(shards.paths)).tolist())
    # Shuffle the serialized examples first and decode whole batches after: one parse per batch, not per picture.
    records = records.shuffle(shuffle_buffer, seed=int(rng.integers(2**31)), reshuffle_each_iteration=False)

    def decode(serialized: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        batch = parse_pixels(serialized, shards.image_size, shards.classes)
        draws = draw(seed, tf.constant(epoch, tf.int64), batch["index"])
        return augment(batch["image"], batch["mask"], draws, params)

    batches = records.skip(skip * batch_size).batch(batch_size, drop_remainder=True)
    return as_stream(batches.map(decode, PARALLEL_CALLS), prefetch=2)


def validation_batches(shards: ShardSet, batch_size: int) -> tf.data.Dataset:
    """All of a split as (image (B, S, S, 3) uint8, mask (B, S, S) uint8, real (B,) bool), every batch full.

    The last batch is filled up with pictures that are not real and whose masks are all "ignore", so that every device
    gets its share and no count changes.
    """

    def decode(serialized: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        batch = parse_pixels(serialized, shards.image_size, shards.classes)
        missing = batch_size - tf.shape(batch["index"])[0]
        image = tf.pad(batch["image"], [[0, missing], [0, 0], [0, 0], [0, 0]])
        mask = tf.pad(batch["mask"], [[0, missing], [0, 0], [0, 0]], constant_values=IGNORE_LABEL)
        real = tf.range(batch_size) < batch_size - missing
        return (
            tf.ensure_shape(image, [batch_size, None, None, 3]),
            tf.ensure_shape(mask, [batch_size, None, None]),
            real,
        )

    batches = _records(shards).batch(batch_size)
    return as_stream(batches.map(decode, PARALLEL_CALLS), prefetch=2)


def whole_batches(shards: ShardSet, batch_size: int) -> tf.data.Dataset:
    """All of a split with every field of its examples, in the order in which they were written."""
    batches = _records(shards).batch(batch_size)
    whole = batches.map(lambda records: parse_whole(records, shards.image_size, shards.classes), PARALLEL_CALLS)
    return as_stream(whole, prefetch=2)


def read_batches(batches: tf.data.Dataset) -> Iterator[Any]:
    """The batches. Raises PetsegError if the shards change, end early or vanish under the reader."""
    iterator = iter(batches)
    while True:
        try:
            batch = next(iterator)
        except StopIteration:
            return
        except _UNREADABLE as error:
            raise PetsegError(
                f"The shards can't be read any further ({first_line(error)}); run dvc checkout --force, then dvc repro."
            ) from error
        yield batch


def _records(shards: ShardSet, order: Sequence[int] | None = None) -> tf.data.Dataset:
    """Serialized examples, one from each shard in turn: the order in which they were dealt out.

    Fewer or more than the manifest says are an error, which a shard cut between two records wouldn't be by itself.
    """
    paths = [shards.paths[k] for k in order] if order is not None else list(shards.paths)
    files = tf.data.Dataset.from_tensor_slices(paths)
    records = files.interleave(tf.data.TFRecordDataset, cycle_length=len(paths), block_length=1)
    return records.apply(tf.data.experimental.assert_cardinality(shards.examples))
