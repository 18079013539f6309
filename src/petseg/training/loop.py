"""The training loop: epochs of steps, a validation after each, the best epoch's weights at the end.

Keras's `fit` fails under MultiWorkerMirroredStrategy (keras#20585) and its BackupAndRestore brings back neither the
data order nor the best weights; this loop does both. All that is random follows from (seed, epoch, picture), all else
is in the checkpoint: so a training that was killed and resumed ends like one that never was.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from tqdm import tqdm

from petseg.batches import read_batches
from petseg.config.params import TrainParams
from petseg.core.errors import PetsegError
from petseg.metrics import Matrix, accuracy, mean_iou
from petseg.model.encoder import set_encoder_trainable
from petseg.shards.manifest import ShardSet
from petseg.training.batch_norms import prepare_batch_norms
from petseg.training.checkpoint import PartialEpoch, State, load_checkpoint, pack, unpack
from petseg.training.cluster import SINGLE_WORKER, Worker
from petseg.training.distributed import broadcast_from_chief
from petseg.training.history import Epoch, best_epoch, write_history
from petseg.training.input_pipeline import training_batches, validation_batches
from petseg.training.previews import Previews
from petseg.training.progress import Clock, StepBar, summary
from petseg.training.steps import Step, make_train_step, make_validation_step
from petseg.training.train_state import LOWER_RATES, TrainState


@dataclass(frozen=True)
class TrainingData:
    """The shards that this worker reads; with several workers, each runs the same loop on its own shards."""

    train: ShardSet
    val: ShardSet
    worker: Worker = SINGLE_WORKER


def fit(
    network: keras.Model,
    strategy: tf.distribute.Strategy,
    data: TrainingData,
    params: TrainParams,
    encoder_batch_norm: bool,
    seed: int,
    history_file: Path,
    backup: Path,
    previews: Previews | None = None,
) -> list[Epoch]:
    """Train a network built in the strategy's scope; it ends with the weights of its best epoch on validation.

    `encoder_batch_norm` says whether the encoder's batch norms are trained with it or stay frozen throughout.
    Goes on from the checkpoint in `backup` if there is one. Raises PetsegError if the loss is no longer a number.
    Of several workers the chief alone writes files, reads the checkpoint, and speaks.
    """
    trainer = _Trainer(network, strategy, data, params, encoder_batch_norm, seed, backup, previews)
    train_state, is_chief = trainer.train_state, data.worker.is_chief
    history = train_state.history
    if trainer.resumed and is_chief:
        print(f"Going on after {train_state.position()} of {params.epochs}.", flush=True)
        write_history(history, history_file)
    clock = Clock(params.epochs - len(history))
    for number in range(len(history) + 1, params.epochs + 1):
        pictures = trainer.run_epoch(number)
        if not is_chief:
            continue
        write_history(history, history_file)
        train_state.save(backup)
        is_best = best_epoch(history) is history[-1]
        print(
            f"{trainer.title(number)}  {summary(history[-1], is_best)}  {clock.lap(pictures)}",
            flush=True,
        )
    network.set_weights(train_state.best)
    return history


class _Trainer:
    """What makes the next step of a train_state, from its data."""

    def __init__(
        self,
        network: keras.Model,
        strategy: tf.distribute.Strategy,
        data: TrainingData,
        params: TrainParams,
        encoder_batch_norm: bool,
        seed: int,
        backup: Path,
        previews: Previews | None,
    ) -> None:
        self._strategy, self._data, self._params = strategy, data, params
        self._encoder_batch_norm, self._seed = encoder_batch_norm, seed
        self._backup, self._previews = backup, previews
        self._steps = _steps_per_epoch(data, params, strategy.num_replicas_in_sync)
        self._is_silent = (
            None if data.worker.is_chief else True
        )  # None: only at a terminal is there a bar
        self._encoder = network.get_layer("encoder")
        prepare_batch_norms(
            [*network.layers, *self._encoder.layers],
            self._steps * params.epochs,
            strategy.num_replicas_in_sync,
            params.sync_batch_norm,
        )
        set_encoder_trainable(self._encoder, True, encoder_batch_norm)
        with strategy.scope():
            self.train_state = TrainState(network, params, self._steps)
        self._validation_step = make_validation_step(strategy, network, params.loss)
        self._train_step: tuple[bool, Step] | None = (
            None  # made for an encoder that is frozen, or for one that isn't
        )

        state = self._newest_state()
        self.resumed = state is not None
        if state:
            self.train_state.restore(state)

    def title(self, number: int) -> str:
        return f"epoch {number}/{self._params.epochs}"

    def run_epoch(self, number: int) -> int:
        """Train and validate, and add a row to the history: how many pictures were trained on."""
        train_state = self.train_state
        begun = train_state.begun or PartialEpoch(
            0, 0.0, np.zeros([self._data.train.num_classes] * 2, np.int64)
        )
        left = self._steps - begun.steps
        loss_sum, matrix = self._train(number, begun)
        with train_state.judged():
            val_loss_sum, val_matrix = self._validate(number)
            if self._previews:
                self._previews.draw(train_state.network, self._data.val, number)
            row = Epoch(
                epoch=number,
                learning_rate=float(train_state.groups["decoder"].optimizer.learning_rate),
                loss=loss_sum / self._steps,
                mean_iou=float(mean_iou(matrix)),
                val_loss=val_loss_sum / self._data.val.num_examples,
                val_mean_iou=float(np.nan_to_num(mean_iou(val_matrix), nan=0.0)),
                val_pixel_accuracy=float(np.nan_to_num(accuracy(val_matrix), nan=0.0)),
            )
            train_state.end_epoch(row)
        return left * self._params.batch_size

    def _newest_state(self) -> State | None:
        """The chief's newest checkpoint."""
        state = load_checkpoint(self._backup) if self._data.worker.is_chief else None
        if self._data.worker.num_workers == 1:
            return state
        content = broadcast_from_chief(
            self._strategy, self._data.worker, pack(state) if state else b""
        )
        return unpack(content) if content else None

    def _step_for(self, number: int) -> Step:
        """The training step of an epoch; it changes when the encoder thaws."""
        frozen = number <= self._params.frozen_encoder_epochs
        if self._train_step is None or self._train_step[0] != frozen:
            set_encoder_trainable(self._encoder, not frozen, self._encoder_batch_norm)
            active = ["decoder"] if frozen else ["decoder", "encoder"]
            step = make_train_step(
                self._strategy,
                self.train_state.network,
                [self.train_state.groups[name] for name in active],
                self._params.batch_size,
                self._params.loss,
                self._params.clip_norm,
                self.train_state.average,
            )
            self._train_step = (frozen, step)
        return self._train_step[1]

    def _train(self, number: int, begun: PartialEpoch) -> tuple[float, Matrix]:
        """What is left of an epoch's training steps: (sum of all its steps' losses, confusion counts)."""
        params, title, done, loss_sum = (
            self._params,
            self.title(number),
            begun.steps,
            begun.loss_sum,
        )
        counts = tf.constant(begun.confusion)
        batches = training_batches(
            self._data.train,
            params.batch_size,
            params.shuffle_buffer,
            params.augment,
            self._seed,
            number,
            skip=done,
        )
        step = self._step_for(number)
        with StepBar(title, done, self._steps, params.batch_size, self._is_silent) as bar:
            for batch in read_batches(
                batches
            ):  # to their end, where the shards turn out to be whole
                loss, matrix = step(*batch)
                done += 1
                loss_sum += _finite(loss, f"step {done} of {self._steps} in {title}")
                counts += matrix
                bar.step(loss_sum / done, counts)
                is_due = (
                    params.checkpoint_every_steps
                    and done % params.checkpoint_every_steps == 0
                    and done < self._steps
                )
                if is_due and self._data.worker.is_chief:
                    self.train_state.begun = PartialEpoch(done, loss_sum, counts.numpy())
                    self.train_state.save(self._backup)
        return loss_sum, counts.numpy()

    def _validate(self, number: int) -> tuple[float, Matrix]:
        """The whole validation part: (sum of the pictures' losses, confusion counts)."""
        title, size = f"{self.title(number)} validation", self._params.batch_size
        total = math.ceil(self._data.val.num_examples / size)
        batches = read_batches(validation_batches(self._data.val, size))
        losses, counts = 0.0, 0
        for batch in tqdm(batches, desc=title, total=total, disable=self._is_silent, leave=False):
            loss, matrix = self._validation_step(*batch)
            losses += _finite(loss, f"the validation after {self.title(number)}")
            counts = counts + matrix.numpy()
        return losses, np.asarray(counts)


def _finite(loss: tf.Tensor, where: str) -> float:
    """The loss as a number. Nothing that follows from a loss that is none may reach a checkpoint."""
    value = float(loss)
    if not math.isfinite(value):
        raise PetsegError(f"The loss is no longer a number at {where}; {LOWER_RATES}.")
    return value


def _steps_per_epoch(data: TrainingData, params: TrainParams, replicas: int) -> int:
    if params.batch_size > data.train.num_examples:
        raise PetsegError(
            f"train.batch_size is {params.batch_size}, but must be at most {data.train.num_examples}, "
            "the number of training pictures."
        )
    if params.batch_size % replicas:
        raise PetsegError(
            f"train.batch_size is {params.batch_size}, but must be a multiple of {replicas}, the number of devices."
        )
    return data.train.num_examples // params.batch_size
