"""The state of a run: weights, optimizers, averages and history. A checkpoint holds all of it."""

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import keras
import numpy as np

from petseg.config.train_params import TrainParams
from petseg.config.types import Precision
from petseg.core.errors import PetsegError
from petseg.training.checkpoint import Checkpoint, PartialEpoch, save_checkpoint
from petseg.training.ema import EMA
from petseg.training.history import Epoch, best_epoch
from petseg.training.loss_scale import LossScale
from petseg.training.optimizers import build_groups


def suggest_remedy(precision: Precision) -> str:
    """Return what to do about values that became NaN or Inf."""
    remedy = "try a lower train.learning_rate or train.encoder_learning_rate"
    return f"{remedy}, or train.precision=float32" if precision == "mixed_float16" else remedy


class TrainState:
    """A network in training. Must be created in the strategy's scope."""

    def __init__(self, network: keras.Model, params: TrainParams, steps_per_epoch: int) -> None:
        self.network = network
        self.groups = build_groups(network, params, steps_per_epoch)
        self.ema = EMA(network, params.ema_decay) if params.ema_decay else None
        self.loss_scale = LossScale() if params.precision == "mixed_float16" else None
        self.history: list[Epoch] = []
        self.best_weights = network.get_weights()  # of the best epoch
        self.partial_epoch: PartialEpoch | None = None  # set to save a checkpoint within an epoch
        self._epochs, self._steps_per_epoch = params.epochs, steps_per_epoch
        self._remedy = suggest_remedy(params.precision)

    def progress(self) -> str:
        """Say how far training has come, as in "epoch 3 of 11, step 5 of 100"."""
        epoch = len(self.history)
        if self.partial_epoch is None:
            return f"epoch {epoch} of {self._epochs}"
        step = self.partial_epoch.steps
        return f"epoch {epoch + 1} of {self._epochs}, step {step} of {self._steps_per_epoch}"

    def eval_weights(self) -> AbstractContextManager[None]:
        """Give the network the weights to evaluate and keep, inside the block: the EMA, if any."""
        return self.ema.applied() if self.ema else nullcontext()

    def end_epoch(self, row: Epoch) -> None:
        """Add a complete epoch. The network must have its evaluation weights."""
        self.history.append(row)
        self.partial_epoch = None
        if best_epoch(self.history) is row:
            self.best_weights = self.network.get_weights()

    def save(self, directory: Path) -> None:
        """Write a checkpoint. Raises PetsegError if a value is NaN or Inf."""
        arrays = {"network": self.network.get_weights(), "best": self.best_weights}
        for name, group in self.groups.items():
            arrays[name] = [variable.numpy() for variable in group.optimizer.variables]
        if self.ema:
            arrays["average"] = self.ema.values()
        if self.loss_scale:
            arrays["loss_scale"] = self.loss_scale.values()
        if not all(np.isfinite(array).all() for values in arrays.values() for array in values):
            raise PetsegError(f"Weights became NaN or Inf after {self.progress()}; {self._remedy}.")
        save_checkpoint(Checkpoint(self.history, arrays, self.partial_epoch), directory)

    def restore(self, checkpoint: Checkpoint) -> None:
        """Restore the state from a checkpoint."""
        self.network.set_weights(checkpoint.arrays["network"])
        for name, group in self.groups.items():
            values = checkpoint.arrays[name]
            for variable, value in zip(group.optimizer.variables, values, strict=True):
                variable.assign(value)
        if self.ema:
            self.ema.set_values(checkpoint.arrays["average"])
        if self.loss_scale:
            self.loss_scale.set_values(checkpoint.arrays["loss_scale"])
        self.history = list(checkpoint.history)
        self.best_weights = checkpoint.arrays["best"]
        self.partial_epoch = checkpoint.partial_epoch
