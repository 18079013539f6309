"""One training step and one validation step, on one device or on several.

Each replica of each worker gets its part of the batch (see device_feed.py). Losses are summed and
divided by the size of the whole batch, and gradients are summed, so the result doesn't depend on
the number of devices.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from petseg.config.train_params import LossParams
from petseg.metrics import count_confusion
from petseg.training.ema import EMA
from petseg.training.loss_scale import LossScale
from petseg.training.losses import segmentation_loss
from petseg.training.optimizers import ParamGroup

Step = Callable[..., tuple[tf.Tensor, tf.Tensor]]


def make_train_step(
    strategy: tf.distribute.Strategy,
    network: keras.Model,
    groups: Sequence[ParamGroup],
    *,
    batch_size: int,
    loss_params: LossParams,
    clip_norm: float,
    ema: EMA | None = None,
    loss_scale: LossScale | None = None,
    jit_compile: bool = False,
) -> Step:
    """Make a function of a batch (image, mask) that updates the groups' variables.

    It returns the loss () and the confusion counts (N, N). The loss is NaN if it or a gradient is
    NaN or Inf. With a loss scale above 1, such a gradient only skips the updates. `jit_compile`
    compiles the step with XLA, which works on one device only.
    """
    variables = [variable for group in groups for variable in group.variables]

    def train_replica(image: tf.Tensor, mask: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        scale = loss_scale.value if loss_scale else 1.0
        values = [variable.value for variable in variables]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(values)
            logits = network(image, training=True)
            loss = tf.reduce_sum(segmentation_loss(mask, logits, loss_params)) / batch_size
            scaled = loss * scale if loss_scale else loss
        gradients = _sum_over_replicas(tape.gradient(scaled, values))
        vectors, start = [], 0
        for group in groups:
            end = start + len(group.variables)
            vectors.append(group.optimizer.flatten(gradients[start:end]))
            start = end
        norm = tf.linalg.global_norm(gradients)
        if loss_scale:
            *vectors, norm = (x / scale for x in (*vectors, norm))
        is_finite = tf.math.is_finite(norm)
        clipped, _ = tf.clip_by_global_norm(vectors, clip_norm, norm)
        if loss_scale:
            tf.cond(is_finite, lambda: update(clipped), lambda: None)
            loss_scale.update(is_finite)
        else:
            update(clipped)
        # NaN or Inf gradients have ruined the weights, though this step's loss may still be finite.
        loss = tf.where(is_finite | (scale > 1), loss, math.nan)
        return loss, tf.reduce_sum(count_confusion(mask, logits), axis=0)

    def update(vectors: Sequence[tf.Tensor]) -> None:
        for group, vector in zip(groups, vectors, strict=True):
            group.optimizer.apply(vector)
        if ema:
            ema.update(groups[0].optimizer.iterations.value)

    return _run_on_replicas(strategy, train_replica, jit_compile)


def make_validation_step(
    strategy: tf.distribute.Strategy, network: keras.Model, loss_params: LossParams
) -> Step:
    """Make a function of a batch (image, mask, is_real).

    It returns the sum of the real images' losses () and the confusion counts (N, N).
    """

    def validate_replica(
        image: tf.Tensor, mask: tf.Tensor, is_real: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        logits = network(tf.cast(image, tf.float32), training=False)
        losses = segmentation_loss(mask, logits, loss_params)  # (B,)
        loss_sum = tf.reduce_sum(tf.where(is_real, losses, 0.0))
        return loss_sum, tf.reduce_sum(count_confusion(mask, logits), axis=0)

    return _run_on_replicas(strategy, validate_replica)


def _sum_over_replicas(gradients: list[tf.Tensor]) -> list[tf.Tensor]:
    context = tf.distribute.get_replica_context()
    if context.num_replicas_in_sync > 1:
        gradients = context.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
    return gradients


def _run_on_replicas(
    strategy: tf.distribute.Strategy,
    function: Callable[..., tuple[tf.Tensor, tf.Tensor]],
    jit_compile: bool = False,
) -> Step:
    """Compile a step that runs on each replica's part of the batch and sums the results."""

    @tf.function(jit_compile=jit_compile or None)
    def run(parts: Any) -> tuple[tf.Tensor, tf.Tensor]:
        loss, counts = strategy.run(function, args=parts)
        sum_over_replicas = tf.distribute.ReduceOp.SUM
        return (
            strategy.reduce(sum_over_replicas, loss, axis=None),
            strategy.reduce(sum_over_replicas, counts, axis=None),
        )

    return lambda *batch: run(batch)
