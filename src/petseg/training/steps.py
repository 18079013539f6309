"""One step of training and one of validation, on one device or on several alike.

Every device of every worker takes its part of the batch; losses are summed and divided by the whole batch's size,
gradients are summed, so the result doesn't depend on how many devices there are.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from petseg.config.params import LossParams
from petseg.metrics import count_confusion
from petseg.training.ema import EMA
from petseg.training.losses import segmentation_loss
from petseg.training.optimizers import ParamGroup

Step = Callable[..., tuple[tf.Tensor, tf.Tensor]]


def make_train_step(
    strategy: tf.distribute.Strategy,
    network: keras.Model,
    groups: Sequence[ParamGroup],
    batch_size: int,
    loss_params: LossParams,
    clip_norm: float,
    average: EMA | None = None,
) -> Step:
    """A function of a batch (image, mask) that changes the groups' weights: (loss (), confusion counts (N, N)).

    The loss is NaN if it or a gradient is no longer a number.
    """
    variables = [variable for group in groups for variable in group.variables]

    def on_replica(image: tf.Tensor, mask: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([variable.value for variable in variables])
            logits = network(image, training=True)
            loss = tf.reduce_sum(segmentation_loss(mask, logits, loss_params)) / batch_size
        gradients = tape.gradient(loss, [variable.value for variable in variables])
        gradients, norm = _clip_sum(gradients, clip_norm)
        start = 0
        for group in groups:
            group.optimizer.apply(gradients[start : start + len(group.variables)], group.variables)
            start += len(group.variables)
        if average:
            average.follow(groups[0].optimizer.iterations.value)
        # With such gradients the weights are lost, though this step's loss may still be a number.
        loss = tf.where(tf.math.is_finite(norm), loss, math.nan)
        return loss, tf.reduce_sum(count_confusion(mask, logits), axis=0)

    return _summed(strategy, on_replica)


def make_validation_step(
    strategy: tf.distribute.Strategy, network: keras.Model, loss_params: LossParams
) -> Step:
    """A function of a batch (image, mask, real): (sum of the real pictures' losses, confusion counts (N, N))."""

    def on_replica(
        image: tf.Tensor, mask: tf.Tensor, real: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        logits = network(tf.cast(image, tf.float32), training=False)
        losses = segmentation_loss(mask, logits, loss_params)
        return tf.reduce_sum(tf.where(real, losses, 0.0)), tf.reduce_sum(
            count_confusion(mask, logits), axis=0
        )

    return _summed(strategy, on_replica)


def _clip_sum(gradients: list[tf.Tensor], limit: float) -> tuple[list[tf.Tensor], tf.Tensor]:
    """The gradients summed over all replicas, their global norm cut to the limit: (the sums, their norm before)."""
    context = tf.distribute.get_replica_context()
    if context.num_replicas_in_sync > 1:
        gradients = context.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
    clipped: tuple[list[tf.Tensor], tf.Tensor] = tf.clip_by_global_norm(gradients, limit)
    return clipped


def _summed(
    strategy: tf.distribute.Strategy, on_replica: Callable[..., tuple[tf.Tensor, tf.Tensor]]
) -> Step:
    """The function on all replicas, each given its part of the batch; what it returns is summed over them."""

    @tf.function
    def on_all(parts: Any) -> tuple[tf.Tensor, tf.Tensor]:
        results = strategy.run(on_replica, args=parts)
        loss, counts = (
            strategy.reduce(tf.distribute.ReduceOp.SUM, result, axis=None) for result in results
        )
        return loss, counts

    return lambda *batch: on_all(tuple(_share_out(strategy, tensor) for tensor in batch))


def _share_out(strategy: tf.distribute.Strategy, tensor: tf.Tensor) -> Any:
    """Equal parts of this worker's tensor, one for each of its replicas.

    `experimental_distribute_dataset` would do it too, but its own tf.data pipeline runs the autotuner (see streams.py).
    """
    if strategy.num_replicas_in_sync == 1:
        return tensor
    here = len(strategy.extended.worker_devices)
    parts = tf.split(tensor, here)
    return strategy.experimental_distribute_values_from_function(
        lambda context: parts[context.replica_id_in_sync_group % here]
    )
