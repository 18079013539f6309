"""Two groups of weights, encoder and decoder, each with its own AdamW and its own course of the learning rate.

Keras has no parameter groups; two optimizers do the same, and the encoder's moments and warm-up begin when it is
unfrozen, not before.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import keras

from petseg.config.params import TrainParams


@dataclass(frozen=True)
class ParamGroup:
    optimizer: keras.optimizers.Optimizer
    variables: list[keras.Variable]


class SummedAdamW(keras.optimizers.AdamW):
    """Keras's, given gradients that are summed over all replicas already, since only the sum's norm can be clipped."""

    def _all_reduce_sum_gradients(self, grads_and_vars: Iterable[Any]) -> Iterable[Any]:
        return grads_and_vars


def build_groups(
    network: keras.Model, params: TrainParams, steps_per_epoch: int
) -> dict[str, ParamGroup]:
    """The groups "decoder" and "encoder" of a network whose weights are all trainable, optimizer state made."""
    encoder = network.get_layer("encoder").trainable_variables
    inside = {id(variable) for variable in encoder}
    decoder = [variable for variable in network.trainable_variables if id(variable) not in inside]
    thawed = params.epochs - params.frozen_encoder_epochs
    return {
        "decoder": _group(decoder, params.learning_rate, params.epochs, params, steps_per_epoch),
        "encoder": _group(encoder, params.encoder_learning_rate, thawed, params, steps_per_epoch),
    }


def _group(
    variables: list[keras.Variable],
    rate: float,
    epochs: int,
    params: TrainParams,
    steps_per_epoch: int,
) -> ParamGroup:
    optimizer = SummedAdamW(
        learning_rate=cosine_with_warmup(
            rate, epochs * steps_per_epoch, params.warmup_epochs * steps_per_epoch
        ),
        weight_decay=params.weight_decay,
    )
    # Shrinking a batch norm or a bias towards 0 regularizes nothing.
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    optimizer.build(variables)
    return ParamGroup(optimizer, variables)


def cosine_with_warmup(
    rate: float, steps: int, warmup: float
) -> keras.optimizers.schedules.LearningRateSchedule:
    """Linearly from 0 to `rate` in `warmup` steps, then along a half cosine to 0 at `steps`."""
    warmup_steps = min(round(warmup), steps)
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0 if warmup_steps else rate,
        decay_steps=max(steps - warmup_steps, 1),
        warmup_target=rate if warmup_steps else None,
        warmup_steps=warmup_steps,
    )
