"""From shards to batches, with tf.data. Reading streams: memory holds the shuffle buffer and a few batches.

Every order is a pure function of (seed, epoch), so an epoch can be repeated alone, from any step on, after a restart or
elsewhere.
"""

import math
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
from petseg.records.storage import is_stored, records_of, refused
from petseg.streams import PARALLEL_CALLS, as_stream

_SHUFFLE_STREAM = 1
_OPEN_SHARDS = 16  # so many of a large set are read at a time, or one of each lane if there are more lanes
_FETCHED_AHEAD = 32  # pictures of a lane, while its next shard is fetched
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
    Of N workers each gets its Nth part of every batch; together they have the pictures that one alone would have.
    """
    worker = shards.worker
    # Shuffle the serialized examples first and decode whole batches after: one parse per batch, not per picture.
    lanes = _shuffled_lanes(shards, batch_size, shuffle_buffer, np.random.default_rng([_SHUFFLE_STREAM, seed, epoch]))
    records = _counted(_in_turn(lanes), shards)

    def decode(serialized: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        batch = parse_pixels(serialized, shards.image_size, shards.classes)
        draws = draw(seed, tf.constant(epoch, tf.int64), batch["index"])
        return augment(batch["image"], batch["mask"], draws, params)

    part, whole = batch_size // worker.of, shards.examples // batch_size - skip
    # What is left over is read too, so that the shards are known to be whole, and those of a storage to be done with.
    numbered = records.skip(skip * part).batch(part).enumerate().filter(lambda number, _: number < whole)
    batches = numbered.map(lambda _, serialized: tf.ensure_shape(serialized, [part]))
    return as_stream(batches.map(decode, PARALLEL_CALLS), prefetch=2)


def validation_batches(shards: ShardSet, batch_size: int) -> tf.data.Dataset:
    """All of a split as (image (B, S, S, 3) uint8, mask (B, S, S) uint8, real (B,) bool), every batch full.

    The last batch is filled up with pictures that are not real and whose masks are all "ignore", so that every device
    gets its share and no count changes. Of N workers each gets its Nth part of every batch.
    """
    part, side = batch_size // shards.worker.of, shards.image_size

    def decode(serialized: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        batch = parse_pixels(serialized, shards.image_size, shards.classes)
        missing = part - tf.shape(batch["index"])[0]
        image = tf.pad(batch["image"], [[0, missing], [0, 0], [0, 0], [0, 0]])
        mask = tf.pad(batch["mask"], [[0, missing], [0, 0], [0, 0]], constant_values=IGNORE_LABEL)
        real = tf.range(part) < part - missing
        return tf.ensure_shape(image, [part, side, side, 3]), tf.ensure_shape(mask, [part, side, side]), real

    batches = _as_written(shards).batch(part).map(decode, PARALLEL_CALLS)
    lacking = math.ceil(shards.examples / batch_size) - math.ceil(_own_examples(shards) / part)
    if lacking:  # batches that other workers have
        nothing = (tf.zeros([part, side, side, 3], tf.uint8), tf.fill([part, side, side], np.uint8(IGNORE_LABEL)))
        batches = batches.concatenate(
            tf.data.Dataset.from_tensors((*nothing, tf.zeros([part], tf.bool))).repeat(lacking)
        )
    return as_stream(batches, prefetch=2)


def whole_batches(shards: ShardSet, batch_size: int) -> tf.data.Dataset:
    """All of a split with every field of its examples, one from each shard in turn (see `_as_written`)."""
    batches = _as_written(shards).batch(batch_size)
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
        except tf.errors.UnknownError as error:
            raise refused(error) or error from None
        except _UNREADABLE as error:
            raise PetsegError(
                f"The shards can't be read any further ({first_line(error)}); run dvc checkout --force, then dvc repro."
            ) from error
        yield batch


def _shuffled_lanes(
    shards: ShardSet, batch_size: int, shuffle_buffer: int, rng: np.random.Generator
) -> list[tf.data.Dataset]:
    """The worker's lanes of serialized examples, each shuffled by itself; batches take from the lanes in turn.

    Lane l of L holds every Lth shard from the lth on, and so every Lth example of the split. L is the largest number
    that divides both the shards and a batch: so every batch has as many from each lane, and any number of workers that
    divides both can share the lanes out, without a change to any batch.
    """
    worker = shards.worker
    count = len(shards.paths) * worker.of
    lanes = math.gcd(count, batch_size)
    opened = max(1, _OPEN_SHARDS // lanes)
    seeds = rng.integers(2**31, size=lanes).tolist()
    orders = [rng.permutation(count // lanes) for _ in range(lanes)]
    made = []
    for lane in range(worker.number, lanes, worker.of):
        paths = [shards.paths[(lane + lanes * turn) // worker.of] for turn in orders[lane]]
        records = _interleaved(paths, opened)
        buffer = math.ceil(shuffle_buffer / lanes)
        made.append(records.shuffle(buffer, seeds[lane], reshuffle_each_iteration=False))
    return made


def _as_written(shards: ShardSet) -> tf.data.Dataset:
    """The worker's serialized examples, one from each shard in turn.

    Up to 16 shards that is the order in which they were dealt out; of more, all workers together read 16 at a time.
    """
    return _counted(_interleaved(shards.paths, max(1, _OPEN_SHARDS // shards.worker.of)), shards)


def _interleaved(paths: Sequence[str], opened: int) -> tf.data.Dataset:
    """The examples of shards, one from each in turn, of which so many are open at a time."""
    names, is_far = tf.data.Dataset.from_tensor_slices(list(paths)), any(map(is_stored, paths))
    records = names.interleave(records_of if is_far else tf.data.TFRecordDataset, min(opened, len(paths)), 1)
    return records.prefetch(_FETCHED_AHEAD) if is_far else records


def _in_turn(datasets: list[tf.data.Dataset]) -> tf.data.Dataset:
    """One element of each; those that have ended are left out."""
    turns = tf.data.Dataset.range(len(datasets)).repeat()
    return tf.data.Dataset.choose_from_datasets(datasets, turns, stop_on_empty_dataset=False)


def _counted(records: tf.data.Dataset, shards: ShardSet) -> tf.data.Dataset:
    """The same; once they have all been read, fewer or more than the manifest says are an error.

    A shard cut between two records wouldn't be one by itself.
    """
    return records.apply(tf.data.experimental.assert_cardinality(_own_examples(shards)))


def _own_examples(shards: ShardSet) -> int:
    """How many of the split's examples the worker reads."""
    return len(range(shards.worker.number, shards.examples, shards.worker.of))
