"""Two parameter groups, encoder and decoder, each with its own AdamW and learning rate schedule.

Keras has no parameter groups. Two optimizers do the same, and let the encoder's moments and warm-up
start when it is unfrozen.
"""

from dataclasses import dataclass

import keras

from petseg.config.params import TrainParams
from petseg.training.keras_compat import SummedAdamW


@dataclass(frozen=True)
class ParamGroup:
    """Variables that share an optimizer."""

    optimizer: keras.optimizers.Optimizer
    variables: list[keras.Variable]


def build_groups(
    network: keras.Model, params: TrainParams, steps_per_epoch: int
) -> dict[str, ParamGroup]:
    """Build the groups "decoder" and "encoder", with their optimizers' variables.

    All weights of the network must be trainable when it is called.
    """
    encoder = network.get_layer("encoder").trainable_variables
    in_encoder = {id(variable) for variable in encoder}
    decoder = [v for v in network.trainable_variables if id(v) not in in_encoder]
    warmup_steps = params.warmup_epochs * steps_per_epoch

    def group(variables: list[keras.Variable], rate: float, epochs: int) -> ParamGroup:
        schedule = cosine_with_warmup(rate, epochs * steps_per_epoch, warmup_steps)
        optimizer = SummedAdamW(schedule, weight_decay=params.weight_decay)
        # Decaying a batch norm's parameters or a bias doesn't regularize.
        optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
        optimizer.build(variables)
        return ParamGroup(optimizer, variables)

    unfrozen_epochs = params.epochs - params.frozen_encoder_epochs
    return {
        "decoder": group(decoder, params.learning_rate, params.epochs),
        "encoder": group(encoder, params.encoder_learning_rate, unfrozen_epochs),
    }


def cosine_with_warmup(
    rate: float, steps: int, warmup_steps: float
) -> keras.optimizers.schedules.LearningRateSchedule:
    """Rise linearly from 0 to `rate` in `warmup_steps`, then fall as a half cosine to 0."""
    warmup = min(round(warmup_steps), steps)
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0 if warmup else rate,
        decay_steps=max(steps - warmup, 1),
        warmup_target=rate if warmup else None,
        warmup_steps=warmup,
    )
