"""The training loop: train an epoch, validate, write a checkpoint; at the end, keep the best epoch.

Keras's `fit` fails under MultiWorkerMirroredStrategy (keras#20585), and its BackupAndRestore
restores neither the data order nor the best weights. Here all randomness follows from (seed, epoch,
image) and everything else is in the checkpoint, so a run that was killed and resumed gives the same
bytes as one that wasn't.
"""

import math
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from petseg.batches import read_batches
from petseg.config.train_params import TrainParams
from petseg.config.types import BatchNormMode
from petseg.core.errors import PetsegError
from petseg.metrics import Matrix, accuracy, mean_iou
from petseg.model.encoder import set_encoder_trainable
from petseg.training.batch_norms import prepare_batch_norms
from petseg.training.checkpoint import PartialEpoch, load_checkpoint, pack, unpack
from petseg.training.device_feed import feed, make_augmentation, on_gpus
from petseg.training.distributed import broadcast_from_chief
from petseg.training.epoch_log import EpochLog
from petseg.training.history import Epoch, best_epoch
from petseg.training.input_pipeline import training_batches, validation_batches
from petseg.training.previews import Previews
from petseg.training.progress import ExampleBar
from petseg.training.steps import Step, make_train_step, make_validation_step
from petseg.training.train_state import TrainState, suggest_remedy
from petseg.training.training_data import TrainingData, count_steps


class Trainer:
    """Trains a network built in the strategy's scope.

    `encoder_batch_norm` says what of the encoder's batch norms is trained. With several workers,
    only the chief reads checkpoints, writes files and prints.
    """

    def __init__(
        self,
        network: keras.Model,
        strategy: tf.distribute.Strategy,
        data: TrainingData,
        params: TrainParams,
        *,
        seed: int,
        encoder_batch_norm: BatchNormMode,
        checkpoint_dir: Path,
        previews: Previews | None = None,
        events_dir: Path | None = None,
    ) -> None:
        self._strategy = strategy
        self._data = data
        self._params = params
        self._seed = seed
        self._encoder_batch_norm = encoder_batch_norm
        self._checkpoint_dir = checkpoint_dir
        self._previews = previews
        self._events_dir = events_dir
        self._remedy = suggest_remedy(params.precision)
        self._steps = count_steps(data, params, strategy.num_replicas_in_sync)
        self._augment = make_augmentation(strategy, params.augment) if on_gpus(strategy) else None
        self._encoder = network.get_layer("encoder")
        prepare_batch_norms(
            [*network.layers, *self._encoder.layers],
            self._steps * params.epochs,
            strategy.num_replicas_in_sync,
            params.sync_batch_norm,
        )
        set_encoder_trainable(self._encoder, True, encoder_batch_norm)
        with strategy.scope():
            self.state = TrainState(network, params, self._steps)
        self._validation_step = make_validation_step(strategy, network, params.loss)
        self._train_step: Step | None = None

    def fit(self, history_file: Path) -> list[Epoch]:
        """Train the remaining epochs, and give the network the weights of the best epoch.

        Resumes from the newest checkpoint. Raises PetsegError if the loss becomes NaN or Inf.
        """
        state, params, log = self.state, self._params, None
        is_resumed = self._restore()
        if self._data.worker.is_chief:
            log = EpochLog(state, params, self._data.unit, history_file, self._events_dir)
            if is_resumed:
                log.print_resuming()
            else:
                log.warn_of_few_steps(self._steps)
        first_epoch = len(state.history) + 1
        for epoch in range(first_epoch, params.epochs + 1):
            if self._is_patience_over():
                break
            if epoch in (first_epoch, params.frozen_encoder_epochs + 1):
                self._compile(encoder_is_frozen=epoch <= params.frozen_encoder_epochs)
            num_examples = self._run_epoch(epoch)
            if log:
                log.write_epoch(self._previews.path(epoch) if self._previews else None)
                state.save(self._checkpoint_dir)
                log.print_epoch(num_examples)
        if log:
            log.print_end(self._steps)
        state.network.set_weights(state.best_weights)
        return state.history

    def _is_patience_over(self) -> bool:
        """Whether to stop. All workers have the same history, so all stop after the same epoch.

        Epochs with a frozen encoder don't count, unless it is frozen in all epochs.
        """
        params, history = self._params, self.state.history
        if not (params.patience and history):
            return False
        since = best_epoch(history).epoch
        if params.frozen_encoder_epochs < params.epochs:
            since = max(since, params.frozen_encoder_epochs)
        return len(history) - since >= params.patience

    def _restore(self) -> bool:
        """Restore the chief's newest checkpoint on all workers; false if there is none."""
        worker = self._data.worker
        checkpoint = load_checkpoint(self._checkpoint_dir) if worker.is_chief else None
        if worker.num_workers > 1:
            content = pack(checkpoint) if checkpoint else b""
            content = broadcast_from_chief(self._strategy, worker, content)
            checkpoint = unpack(content) if content else None
        if checkpoint:
            self.state.restore(checkpoint)
        return checkpoint is not None

    def _compile(self, *, encoder_is_frozen: bool) -> None:
        """Make the training step for a frozen or an unfrozen encoder."""
        set_encoder_trainable(self._encoder, not encoder_is_frozen, self._encoder_batch_norm)
        names = ["decoder"] if encoder_is_frozen else ["decoder", "encoder"]
        self._train_step = make_train_step(
            self._strategy,
            self.state.network,
            [self.state.groups[name] for name in names],
            batch_size=self._params.batch_size,
            loss_params=self._params.loss,
            clip_norm=self._params.clip_norm,
            ema=self.state.ema,
            loss_scale=self.state.loss_scale,
            jit_compile=self._params.jit_compile,
        )

    def _run_epoch(self, epoch: int) -> int:
        """Train, validate and extend the history. Return the number of training examples."""
        state = self.state
        num_classes = self._data.train.num_classes
        start = state.partial_epoch or PartialEpoch(
            0, 0.0, np.zeros([num_classes, num_classes], np.int64)
        )
        loss_sum, confusion = self._train(epoch, start)
        with state.eval_weights():
            val_loss_sum, val_confusion = self._validate(epoch)
            if self._previews:
                self._previews.draw(state.network, self._data.val, epoch)
            row = Epoch(
                epoch=epoch,
                learning_rate=float(state.groups["decoder"].optimizer.learning_rate),
                loss=loss_sum / self._steps,
                mean_iou=float(mean_iou(confusion)),
                val_loss=val_loss_sum / self._data.val.num_examples,
                val_mean_iou=float(np.nan_to_num(mean_iou(val_confusion), nan=0.0)),
                val_pixel_accuracy=float(np.nan_to_num(accuracy(val_confusion), nan=0.0)),
            )
            state.end_epoch(row)
        return (self._steps - start.steps) * self._params.batch_size

    def _train(self, epoch: int, start: PartialEpoch) -> tuple[float, Matrix]:
        """Run the remaining steps. Return the epoch's sum of losses and its confusion matrix."""
        params = self._params
        step, loss_sum, confusion = start.steps, start.loss_sum, tf.constant(start.confusion)
        batches = training_batches(
            self._data.train,
            params.batch_size,
            params.shuffle_buffer,
            params.augment,
            self._seed,
            epoch,
            skip=step,
            class_repeats=self._data.class_repeats,
            augmented=self._augment is None,
        )
        assert self._train_step is not None
        with self._bar(epoch, "", self._steps, step) as bar:
            # To the end, where their number is checked.
            for batch in feed(self._strategy, read_batches(batches), self._augment):
                loss, counts = self._train_step(*batch)
                step += 1
                position = f"{self._title(epoch)}, step {step}/{self._steps}"
                loss_sum += require_finite(loss, position, self._remedy)
                confusion += counts
                bar.update(params.batch_size)
                bar.show_metrics(loss_sum / step, confusion)
                if self._is_checkpoint_due(step):
                    self.state.partial_epoch = PartialEpoch(step, loss_sum, confusion.numpy())
                    self.state.save(self._checkpoint_dir)
        return loss_sum, confusion.numpy()

    def _validate(self, epoch: int) -> tuple[float, Matrix]:
        """Run the validation split. Return its sum of losses and its confusion matrix."""
        batch_size = self._params.batch_size
        loss_sum, confusion = 0.0, 0
        num_batches = math.ceil(self._data.val.num_examples / batch_size)
        with self._bar(epoch, " validation", num_batches) as bar:
            batches = read_batches(validation_batches(self._data.val, batch_size))
            for batch in feed(self._strategy, batches):
                loss, counts = self._validation_step(*batch)
                position = f"{self._title(epoch)}, validation"
                loss_sum += require_finite(loss, position, self._remedy)
                confusion = confusion + counts.numpy()
                bar.update(batch_size)
        return loss_sum, np.asarray(confusion)

    def _is_checkpoint_due(self, step: int) -> bool:
        """Whether to save after this step. The last one is saved after validation."""
        interval = self._params.checkpoint_every_steps
        is_due = interval > 0 and step % interval == 0 and step < self._steps
        return is_due and self._data.worker.is_chief

    def _bar(self, epoch: int, phase: str, num_batches: int, num_done: int = 0) -> ExampleBar:
        batch_size = self._params.batch_size
        return ExampleBar(
            f"{self._title(epoch)}{phase}",
            self._data.unit,
            num_batches * batch_size,
            num_done * batch_size,
            is_visible=self._data.worker.is_chief,
        )

    def _title(self, epoch: int) -> str:
        return f"epoch {epoch}/{self._params.epochs}"


def require_finite(loss: tf.Tensor, position: str, remedy: str) -> float:
    """Return the loss. Raises PetsegError if it is NaN or Inf, so it never reaches a checkpoint."""
    value = float(loss)
    if not math.isfinite(value):
        raise PetsegError(f"Loss became NaN or Inf at {position}; {remedy}.")
    return value
