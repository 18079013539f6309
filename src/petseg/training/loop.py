"""The training loop: epochs of steps, a validation after each, the best epoch's weights at the end.

Keras's `fit` fails under MultiWorkerMirroredStrategy (keras#20585) and its BackupAndRestore brings back neither the
data order nor the best weights; this loop does both. All that is random follows from (seed, epoch, picture), all else
is in the checkpoint: so a training that was killed and resumed ends like one that never was.
"""

import math
import time
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from tqdm import tqdm

from petseg.batches import training_batches, validation_batches
from petseg.confusion import Matrix, accuracy, mean_iou
from petseg.errors import PetsegError
from petseg.model.encoder import set_encoder_trainable
from petseg.params import TrainParams
from petseg.training.batch_norms import prepare_batch_norms
from petseg.training.checkpoint import State, load_state, save_state
from petseg.training.history import Epoch, best_epoch, write_history
from petseg.training.optimizers import WeightGroup, build_groups
from petseg.training.progress import Clock, summary
from petseg.training.steps import Step, make_train_step, make_validation_step


@dataclass(frozen=True)
class TrainingData:
    """The shards to train and validate on, and how many pictures are in them."""

    train: list[str]
    val: list[str]
    train_examples: int
    val_examples: int
    image_size: int


def fit(
    network: keras.Model,
    strategy: tf.distribute.Strategy,
    data: TrainingData,
    params: TrainParams,
    encoder_batch_norm: bool,
    seed: int,
    history_file: Path,
    backup: Path,
) -> list[Epoch]:
    """Train a network built in the strategy's scope; it ends with the weights of its best epoch on validation.

    `encoder_batch_norm` says whether the encoder's batch norms are trained with it or stay frozen throughout.
    Goes on from the checkpoint in `backup` if there is one. Raises PetsegError if the loss is no longer a number.
    """
    steps = _steps_per_epoch(data, params, strategy.num_replicas_in_sync)
    encoder = network.get_layer("encoder")
    prepare_batch_norms([*network.layers, *encoder.layers], steps * params.epochs, strategy.num_replicas_in_sync)
    set_encoder_trainable(encoder, True, encoder_batch_norm)
    with strategy.scope():
        groups = build_groups(network, params, steps)
    history, best = _resume(network, groups, backup)
    if history:
        print(f"Going on after epoch {history[-1].epoch} of {params.epochs}.", flush=True)
        write_history(history, history_file)

    validation_step = make_validation_step(strategy, network, params.dice_weight)
    train_step, frozen_now = None, None
    clock = Clock(params.epochs - len(history))
    for number in range(len(history) + 1, params.epochs + 1):
        frozen = number <= params.frozen_encoder_epochs
        if train_step is None or frozen != frozen_now:
            set_encoder_trainable(encoder, not frozen, encoder_batch_norm)
            active = [groups["decoder"]] if frozen else [groups["decoder"], groups["encoder"]]
            train_step = make_train_step(
                strategy, network, active, params.batch_size, params.dice_weight, params.gradient_clip
            )
            frozen_now = frozen
        batches = training_batches(
            data.train, data.image_size, params.batch_size, params.shuffle_buffer, params.augment, seed, number
        )
        title = f"epoch {number}/{params.epochs}"
        loss_sum, matrix = _run(train_step, batches, title, steps, params.batch_size)
        val_loss_sum, val_matrix = _validate(validation_step, data, params.batch_size, title)
        row = Epoch(
            epoch=number,
            learning_rate=float(groups["decoder"].optimizer.learning_rate),
            loss=loss_sum / steps,
            mean_iou=float(mean_iou(matrix)),
            val_loss=val_loss_sum / data.val_examples,
            val_mean_iou=float(np.nan_to_num(mean_iou(val_matrix), nan=0.0)),
            val_pixel_accuracy=float(np.nan_to_num(accuracy(val_matrix), nan=0.0)),
        )
        history.append(row)
        if best_epoch(history) is row:
            best = network.get_weights()
        write_history(history, history_file)
        save_state(State(history, _arrays(network, groups, best)), backup)
        print(
            f"{title}  {summary(row, best_epoch(history) is row)}  {clock.lap(steps * params.batch_size)}", flush=True
        )

    network.set_weights(best)
    return history


def _steps_per_epoch(data: TrainingData, params: TrainParams, replicas: int) -> int:
    if params.batch_size > data.train_examples:
        raise PetsegError(
            f"train.batch_size is {params.batch_size}, but must be at most {data.train_examples}, "
            "the number of training pictures."
        )
    if params.batch_size % replicas:
        raise PetsegError(
            f"train.batch_size is {params.batch_size}, but must be a multiple of {replicas}, the number of GPUs."
        )
    return data.train_examples // params.batch_size


def _resume(network: keras.Model, groups: dict[str, WeightGroup], backup: Path) -> tuple[list[Epoch], list[np.ndarray]]:
    """Bring back the checkpoint's state: (history, best weights so far)."""
    state = load_state(backup)
    if state is None:
        return [], network.get_weights()
    network.set_weights(state.arrays["network"])
    for name, group in groups.items():
        for variable, value in zip(group.optimizer.variables, state.arrays[name], strict=True):
            variable.assign(value)
    return list(state.history), state.arrays["best"]


def _arrays(
    network: keras.Model, groups: dict[str, WeightGroup], best: list[np.ndarray]
) -> dict[str, list[np.ndarray]]:
    optimizers = {name: [variable.numpy() for variable in group.optimizer.variables] for name, group in groups.items()}
    return {"network": network.get_weights(), "best": best, **optimizers}


def _run(
    step: Step,
    batches: tf.data.Dataset,
    title: str,
    steps: int,
    batch_size: int,
) -> tuple[float, Matrix]:
    """One epoch of training steps: (sum of their losses, confusion counts), with a bar that tells how it goes."""
    losses, counts = tf.constant(0.0, tf.float64), tf.constant(0, tf.int64)
    shown = time.monotonic()
    with tqdm(total=steps * batch_size, desc=title, unit="image", disable=None, leave=False, dynamic_ncols=True) as bar:
        for done, batch in enumerate(batches, 1):
            loss, matrix = step(*batch)
            losses += tf.cast(loss, tf.float64)
            counts += matrix
            bar.update(batch_size)
            if not bar.disable and time.monotonic() - shown > 0.5:
                shown = time.monotonic()
                bar.set_postfix({"loss": f"{float(losses) / done:.4f}", "mean IoU": f"{mean_iou(counts.numpy()):.4f}"})
    if not math.isfinite(float(losses)):
        raise PetsegError(
            f"The loss is no longer a number in {title}; lower train.learning_rate or train.encoder_learning_rate."
        )
    return float(losses), counts.numpy()


def _validate(step: Step, data: TrainingData, batch_size: int, title: str) -> tuple[float, Matrix]:
    """The whole validation part: (sum of the pictures' losses, confusion counts)."""
    batches = validation_batches(data.val, data.image_size, batch_size)
    losses, counts = 0.0, 0
    total = math.ceil(data.val_examples / batch_size)
    for batch in tqdm(batches, desc=f"{title} validation", total=total, disable=None, leave=False):
        loss, matrix = step(*batch)
        losses += float(loss)
        counts = counts + matrix.numpy()
    return losses, np.asarray(counts)
