"""Hand batches to the training devices.

GPUs get theirs as uint8, a quarter of the bytes, and augment them: two CPU cores can't do that as
fast as a GPU trains. `experimental_distribute_dataset` would run its own tf.data pipeline with the
autotuner (see shards/tf_data.py).
"""

import functools
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

from petseg.batches import prefetch
from petseg.config.train_params import AugmentParams
from petseg.training.augment import change_pixels

Batch = tuple[Any, ...]
"""Tensors; with several devices, each is a PerReplica of parts."""


def on_gpus(strategy: tf.distribute.Strategy) -> bool:
    """Whether the strategy's devices are GPUs, not the CPU."""
    return all("GPU" in device for device in strategy.extended.worker_devices)


def feed(
    strategy: tf.distribute.Strategy,
    batches: Iterator[Batch],
    augmentation: Callable[..., Batch] | None = None,
) -> Iterator[Batch]:
    """Yield this worker's batches, divided among its devices and augmented there.

    GPUs get the next batch while the caller trains on the last one.
    """
    ahead = on_gpus(strategy)
    fed = (distribute(strategy, batch, copy=ahead) for batch in batches)
    if augmentation:
        fed = (augmentation(*batch) for batch in fed)
    return prefetch(fed) if ahead else fed


def distribute(strategy: tf.distribute.Strategy, batch: Batch, *, copy: bool = False) -> Batch:
    """Divide this worker's tensors equally among its devices; with `copy`, put the parts there."""
    devices = strategy.extended.worker_devices

    def place(part: tf.Tensor, device: str) -> tf.Tensor:
        with tf.device(device):
            return tf.identity(part) if copy else part

    def divide(tensor: tf.Tensor) -> Any:
        if strategy.num_replicas_in_sync == 1:
            return place(tensor, devices[0])
        with tf.device("CPU:0"):  # by default, GPU 0 would hold the whole batch
            parts = tf.split(tensor, len(devices))
        placed = [place(part, device) for part, device in zip(parts, devices, strict=True)]
        return strategy.experimental_distribute_values_from_function(
            lambda context: placed[context.replica_id_in_sync_group % len(devices)]
        )

    return tuple(divide(tensor) for tensor in batch)


def make_augmentation(
    strategy: tf.distribute.Strategy, params: AugmentParams
) -> Callable[..., Batch]:
    """Make a function that augments a distributed batch, each part on its device.

    It takes what `training_batches` yields with `augmented=False`, and returns image and mask.
    """

    augment_part = functools.partial(change_pixels, params=params)

    @tf.function
    def run(*batch: Any) -> Batch:
        return tuple(strategy.run(augment_part, args=batch))

    return lambda *batch: run(*batch)  # typed, as a tf.function isn't
