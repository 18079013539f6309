"""A network in training, with all that a checkpoint holds of it: weights, optimizers, and how far it has come."""

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import keras
import numpy as np

from petseg.config.params import TrainParams
from petseg.core.errors import PetsegError
from petseg.training.checkpoint import PartialEpoch, State, save_checkpoint
from petseg.training.ema import EMA
from petseg.training.history import Epoch, best_epoch
from petseg.training.optimizers import build_groups

LOWER_RATES = "lower train.learning_rate or train.encoder_learning_rate"


class TrainState:
    """Made in the strategy's scope. With `ema_decay` it is the average of the weights that is judged and kept."""

    def __init__(self, network: keras.Model, params: TrainParams, steps_per_epoch: int) -> None:
        self.network = network
        self.groups = build_groups(network, params, steps_per_epoch)
        self.average = EMA(network, params.ema_decay) if params.ema_decay else None
        self.history: list[Epoch] = []
        self.best = network.get_weights()  # those of the best epoch
        self.begun: PartialEpoch | None = (
            None  # the epoch that goes on, as the next checkpoint has it
        )

    def position(self) -> str:
        """How far the training has come, in words."""
        steps = f" and {self.begun.steps} steps" if self.begun else ""
        return f"{len(self.history)} epochs{steps}"

    def judged(self) -> AbstractContextManager[None]:
        """The network has the weights that are to be judged while the block runs."""
        return self.average.in_place() if self.average else nullcontext()

    def end_epoch(self, row: Epoch) -> None:
        """To be called with the judged weights in place."""
        self.history.append(row)
        self.begun = None
        if best_epoch(self.history) is row:
            self.best = self.network.get_weights()

    def save(self, folder: Path) -> None:
        """Write a checkpoint. Raises PetsegError if a weight is no longer a number."""
        optimizers = {
            name: [variable.numpy() for variable in group.optimizer.variables]
            for name, group in self.groups.items()
        }
        arrays = {"network": self.network.get_weights(), "best": self.best, **optimizers}
        if self.average:
            arrays["average"] = self.average.values()
        if not all(np.isfinite(array).all() for kind in arrays.values() for array in kind):
            raise PetsegError(
                f"The weights are no longer numbers after {self.position()}; {LOWER_RATES}."
            )
        save_checkpoint(State(self.history, arrays, self.begun), folder)

    def restore(self, state: State) -> None:
        """Be as the checkpoint has it."""
        self.network.set_weights(state.arrays["network"])
        for name, group in self.groups.items():
            for variable, value in zip(group.optimizer.variables, state.arrays[name], strict=True):
                variable.assign(value)
        if self.average:
            self.average.set_values(state.arrays["average"])
        self.history, self.best, self.begun = list(state.history), state.arrays["best"], state.begun
