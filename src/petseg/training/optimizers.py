"""Two parameter groups, encoder and decoder, each with its own AdamW and learning rate schedule.

Keras has no parameter groups. Two optimizers do the same, and let the encoder's moments and warm-up
start when it is unfrozen. Nor does Keras update many variables at once: its AdamW takes some 30
operations for each, and evaluates the schedule for each. A GPU would take longer to start them than
to run the rest of the step (docs/performance.md).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import keras
import tensorflow as tf

from petseg.config.train_params import TrainParams
from petseg.training.flat import flatten, unflatten

Schedule = Callable[[tf.Tensor], tf.Tensor]
"""The number of finished steps () to the learning rate () float32."""

_BETA_1, _BETA_2, _EPSILON = 0.9, 0.999, 1e-7
_NOT_DECAYED = ("bias", "gamma", "beta")  # decaying a batch norm's parameters doesn't regularize


class AdamW:
    """AdamW (Loshchilov and Hutter, 2019, https://arxiv.org/abs/1711.05101) on one vector.

    It computes the numbers of `keras.optimizers.AdamW`, to the last bit. Gradients must already be
    summed over all replicas. Must be created in the strategy's scope.
    """

    def __init__(
        self, variables: Sequence[keras.Variable], schedule: Schedule, weight_decay: float
    ) -> None:
        # The order of the elements: first the variables that decay.
        self._order = sorted(range(len(variables)), key=lambda i: variables[i].name in _NOT_DECAYED)
        self._targets = [variables[i] for i in self._order]
        elements = [math.prod(target.shape) for target in self._targets]
        self._num_decayed = sum(
            count
            for target, count in zip(self._targets, elements, strict=True)
            if target.name not in _NOT_DECAYED
        )
        self._schedule = schedule
        self._weight_decay = weight_decay

        def zeros(name: str, shape: tuple[int, ...], dtype: str) -> keras.Variable:
            return keras.Variable("zeros", shape, dtype, trainable=False, name=name)

        self.iterations = zeros("iterations", (), "int64")
        self._momentum, self._velocity = (
            zeros(name, (sum(elements),), keras.config.floatx())
            for name in ("momentum", "velocity")
        )

    @property
    def variables(self) -> list[keras.Variable]:
        """The state to save in a checkpoint."""
        return [self.iterations, self._momentum, self._velocity]

    @property
    def learning_rate(self) -> tf.Tensor:
        return self._schedule(self.iterations.value)

    def flatten(self, gradients: Sequence[tf.Tensor]) -> tf.Tensor:
        """Join the gradients of all variables into the vector that `apply` takes, (P,)."""
        return flatten([gradients[i] for i in self._order])

    def apply(self, gradient: tf.Tensor) -> None:
        """Update the variables. Called on each replica, which updates its own copy."""
        rate = self.learning_rate
        step = tf.cast(self.iterations.value + 1, rate.dtype)
        factor = rate * tf.sqrt(1.0 - _BETA_2**step) / (1.0 - _BETA_1**step)
        momentum, velocity = map(tf.convert_to_tensor, (self._momentum, self._velocity))
        momentum += (gradient - momentum) * (1.0 - _BETA_1)
        velocity += (tf.square(gradient) - velocity) * (1.0 - _BETA_2)
        decayed, others = tf.split(flatten(self._targets), [self._num_decayed, -1])
        values = tf.concat([decayed - decayed * self._weight_decay * rate, others], 0)
        values -= momentum * factor / (tf.sqrt(velocity) + _EPSILON)
        self._momentum.assign(momentum)
        self._velocity.assign(velocity)
        for target, value in zip(self._targets, unflatten(values, self._targets), strict=True):
            target.assign(value)
        self.iterations.assign(self.iterations.value + 1)


@dataclass(frozen=True)
class ParamGroup:
    """Variables that share an optimizer."""

    optimizer: AdamW
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
        return ParamGroup(AdamW(variables, schedule, params.weight_decay), variables)

    unfrozen_epochs = params.epochs - params.frozen_encoder_epochs
    return {
        "decoder": group(decoder, params.learning_rate, params.epochs),
        "encoder": group(encoder, params.encoder_learning_rate, unfrozen_epochs),
    }


def cosine_with_warmup(rate: float, steps: int, warmup_steps: float) -> Schedule:
    """Rise linearly from 0 to `rate` in `warmup_steps`, then fall as a half cosine to 0.

    The numbers are those of Keras's `CosineDecay`, which evaluates a conditional: a GPU would wait
    for the host there.
    """
    warmup = min(round(warmup_steps), steps)
    decay = max(steps - warmup, 1)

    def schedule(step: tf.Tensor) -> tf.Tensor:
        step = tf.cast(step, keras.config.floatx())
        rising = rate * (step / max(warmup, 1))
        falling = rate * (
            0.5 * (1.0 + tf.cos(math.pi * (tf.minimum(step - warmup, decay) / decay)))
        )
        return tf.where(step < warmup, rising, falling)

    return schedule
