"""Batches for training, shuffled and augmented, and for validation, in order and padded.

Every order is a pure function of (seed, epoch), so an epoch can be reproduced on its own, from any
step on, after a restart or on another machine.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import tensorflow as tf

from petseg.batches import MAX_OPEN_SHARDS, interleave_shards, sequential
from petseg.config.train_params import AugmentParams
from petseg.core.labels import IGNORE_LABEL
from petseg.shards.example import parse_pixels
from petseg.shards.manifest import ShardSet
from petseg.shards.tf_data import PARALLEL_CALLS, finalize_dataset
from petseg.training.augment import augment, draw_uniform, geometry

_SHUFFLE_STREAM = 1  # separates these random numbers from others with the same seed
_REPEAT_STREAM = 1  # augmentation has 0


def training_batches(
    shards: ShardSet,
    batch_size: int,
    shuffle_buffer: int,
    params: AugmentParams,
    seed: int,
    epoch: int,
    skip: int = 0,
    *,
    class_repeats: Sequence[float] = (),
    augmented: bool = True,
) -> tf.data.Dataset:
    """Return one epoch of batches, shuffled and augmented.

    A batch is (image (B, H, W, 3) float32 in 0..255, mask (B, H, W) uint8). If it isn't `augmented`
    yet, it is what `change_pixels` takes: (image uint8, mask, transforms (B, 8), draws).

    Skips the first `skip` batches, and drops the last one if it is incomplete: different images in
    each epoch. Each of N workers gets one Nth of every batch; together they get the images that a
    single worker would.

    With `class_repeats`, one number for each class, an image is drawn on average as many times as
    the highest number of a class in it, and an epoch has as many batches as without.
    """
    # Serialized examples are shuffled, so that each batch is parsed at once.
    rng = np.random.default_rng([_SHUFFLE_STREAM, seed, epoch])
    repeat = partial(_repeat, shards=shards, class_repeats=class_repeats, seed=seed, epoch=epoch)
    groups = _shuffled_groups(
        shards, batch_size, shuffle_buffer, rng, repeat if class_repeats else None
    )
    records = round_robin(groups)

    def decode(serialized: tf.Tensor, copy: tf.Tensor | None = None) -> tuple[tf.Tensor, ...]:
        batch = parse_pixels(serialized, shards.image_size, shards.num_classes)
        image, mask = batch["image"], batch["mask"]
        # Copies of an image are augmented differently.
        index = batch["index"] if copy is None else batch["index"] + copy * shards.num_examples
        draws = draw_uniform(seed, tf.constant(epoch, tf.int64), index)
        if augmented:
            return augment(image, mask, draws, params)
        return image, mask, geometry(draws, params, tf.shape(image)[1:3]), draws

    worker_size = batch_size // shards.num_workers
    num_batches = shards.num_examples // batch_size - skip
    # The rest is read too, since the number of examples is only checked at the end.
    numbered = (
        records.skip(skip * worker_size)
        .batch(worker_size)
        .enumerate()
        .filter(lambda number, _: number < num_batches)
    )
    batches = numbered.map(
        lambda _, record: tf.nest.map_structure(lambda x: tf.ensure_shape(x, [worker_size]), record)
    )
    return finalize_dataset(batches.map(decode, PARALLEL_CALLS), prefetch=2)


def validation_batches(shards: ShardSet, batch_size: int) -> tf.data.Dataset:
    """Return a whole split as (image (B, H, W, 3) uint8, mask (B, H, W) uint8, is_real (B,) bool).

    Every batch is full, so that every device gets its part. The last is padded with black images
    whose masks are IGNORE_LABEL, so that no count changes, and whose is_real is false. Each of N
    workers gets one Nth of every batch.
    """
    worker_size, size = batch_size // shards.num_workers, shards.image_size

    def decode(serialized: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        batch = parse_pixels(serialized, shards.image_size, shards.num_classes)
        missing = worker_size - tf.shape(batch["index"])[0]
        image = tf.pad(batch["image"], [[0, missing], [0, 0], [0, 0], [0, 0]])
        mask = tf.pad(batch["mask"], [[0, missing], [0, 0], [0, 0]], constant_values=IGNORE_LABEL)
        is_real = tf.range(worker_size) < worker_size - missing
        return (
            tf.ensure_shape(image, [worker_size, *size, 3]),
            tf.ensure_shape(mask, [worker_size, *size]),
            is_real,
        )

    batches = sequential(shards).batch(worker_size).map(decode, PARALLEL_CALLS)
    num_batches = math.ceil(shards.num_examples / batch_size)
    num_empty = num_batches - math.ceil(shards.num_worker_examples / worker_size)
    if num_empty:  # batches for which only other workers have examples
        empty_image = tf.zeros([worker_size, *size, 3], tf.uint8)
        empty_mask = tf.fill([worker_size, *size], np.uint8(IGNORE_LABEL))
        empty = tf.data.Dataset.from_tensors(
            (empty_image, empty_mask, tf.zeros([worker_size], tf.bool))
        )
        batches = batches.concatenate(empty.repeat(num_empty))
    return finalize_dataset(batches, prefetch=2)


def _repeat(
    records: tf.data.Dataset,
    shards: ShardSet,
    class_repeats: Sequence[float],
    seed: int,
    epoch: int,
) -> tf.data.Dataset:
    """Return serialized examples with their copies, as pairs (serialized, number of the copy).

    The number of copies is rounded up or down at random, as a function of (seed, epoch, index).
    """
    rare = [i for i, repeats in enumerate(class_repeats) if repeats > 1]
    repeats = tf.constant([class_repeats[i] for i in rare], tf.float32)
    epoch_key = tf.random.fold_in(tf.constant([seed, _REPEAT_STREAM], tf.int64), epoch, "philox")

    def copies(serialized: tf.Tensor) -> tf.data.Dataset:
        example = parse_pixels(serialized[None], shards.image_size, shards.num_classes)
        mask = tf.reshape(example["mask"], [1, -1])
        is_present = tf.reduce_any(mask == tf.constant(rare, tf.uint8)[:, None], axis=1)
        expected = tf.reduce_max(tf.where(is_present, repeats, 1.0))
        key = tf.random.fold_in(epoch_key, example["index"][0], "philox")
        draw = tf.random.stateless_uniform([], key, alg="philox")
        numbers = tf.data.Dataset.range(tf.cast(tf.floor(expected + draw), tf.int64))
        return numbers.map(lambda number: (serialized, number))

    return records.flat_map(copies)


def _shuffled_groups(
    shards: ShardSet,
    batch_size: int,
    shuffle_buffer: int,
    rng: np.random.Generator,
    repeat: Callable[[tf.data.Dataset], tf.data.Dataset] | None,
) -> list[tf.data.Dataset]:
    """Return this worker's shuffle groups of serialized examples. Batches draw from each in turn.

    Group g of G has every Gth shard from the gth on, and so every Gth example of the split. G is
    the greatest common divisor of the number of shards and the batch size. So every batch has the
    same number of examples from each group, and any number of workers that divides both can divide
    the groups among them without changing a batch. With `repeat`, a group may be longer, never
    shorter.
    """
    num_shards = len(shards.paths) * shards.num_workers
    num_groups = math.gcd(num_shards, batch_size)
    max_open = max(1, MAX_OPEN_SHARDS // num_groups)
    seeds = rng.integers(2**31, size=num_groups).tolist()
    orders = [rng.permutation(num_shards // num_groups) for _ in range(num_groups)]
    groups = []
    for group in range(shards.rank, num_groups, shards.num_workers):
        paths = [
            shards.paths[(group + num_groups * turn) // shards.num_workers]
            for turn in orders[group]
        ]
        buffer_size = math.ceil(shuffle_buffer / num_groups)
        records = interleave_shards(paths, max_open)
        count = len(range(group, shards.num_examples, num_groups))
        records = records.apply(tf.data.experimental.assert_cardinality(count))
        records = repeat(records) if repeat else records
        groups.append(records.shuffle(buffer_size, seeds[group], reshuffle_each_iteration=False))
    return groups


def round_robin(datasets: list[tf.data.Dataset]) -> tf.data.Dataset:
    """Return one element of each dataset in turn, skipping datasets that have ended."""
    turns = tf.data.Dataset.range(len(datasets)).repeat()
    return tf.data.Dataset.choose_from_datasets(datasets, turns, stop_on_empty_dataset=False)
