"""The loop: what it keeps, how it resumes, and what stops it."""

import itertools
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from petseg.core.errors import PetsegError
from petseg.training import epoch_log, loop, loss_scale, steps, train_state
from petseg.training.batch_norms import fused_batch_norm
from petseg.training.checkpoint import load_checkpoint
from petseg.training.history import best_epoch
from petseg.training.loop import Trainer
from support.events import read_events, scalars_of
from support.robustness import matches
from support.training import (
    STEPS,
    build_tiny_network,
    change_params,
    fit_tiny,
    open_training_data,
)

pytestmark = [
    pytest.mark.usefixtures("small_encoder", "eager_steps"),
    pytest.mark.filterwarnings("ignore:Even though the `tf.config.exp:UserWarning"),
]

SECTION = "Training"
CASES = {
    "a NaN loss": "Loss became NaN or Inf at epoch …, step …; try a lower train.learning_rate or train.encoder_learning_rate.",
    "a NaN validation loss": "Loss became NaN or Inf at epoch …, validation; try a lower train.learning_rate or train.encoder_learning_rate.",
    "NaN gradients in mixed_float16, even with a loss scale of 1": "Loss became NaN or Inf at epoch …, step …; try a lower train.learning_rate or train.encoder_learning_rate, or train.precision=float32.",
    "NaN weights": "Weights became NaN or Inf after epoch 1 of 2; try a lower train.learning_rate or train.encoder_learning_rate.",
    "a batch larger than the data": "train.batch_size is 64, but must be at most …, the number of training images.",
    "`train.jit_compile` on several devices": "train.jit_compile is true, but must be false on 2 devices; XLA compiles the training step for one device only.",
}  # fmt: skip


@pytest.fixture(scope="module")
def data(tiny_shards):
    return open_training_data(tiny_shards)


@pytest.fixture
def eager_steps():
    """Run steps eagerly: a few steps are faster that way, and their losses can be changed."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


def weights_equal(first, second):
    pairs = zip(first.get_weights(), second.get_weights(), strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


def all_finite(checkpoint):
    return all(
        np.isfinite(array).all() for arrays in checkpoint.arrays.values() for array in arrays
    )


def test_the_best_epoch_is_kept(tiny_params, data, tmp_path, monkeypatch):
    scores, saved = iter([0.2, 0.9, 0.1]), {}
    original, events = train_state.save_checkpoint, tmp_path / "events"

    def remember(checkpoint, folder):
        assert read_events(events) == scalars_of(checkpoint.history)  # a kill here loses none
        saved[len(checkpoint.history)] = [w.copy() for w in checkpoint.arrays["network"]]
        original(checkpoint, folder)

    phases = itertools.cycle(["training", "validation"])
    monkeypatch.setattr(train_state, "save_checkpoint", remember)
    monkeypatch.setattr(
        loop, "mean_iou", lambda matrix: 0.5 if next(phases) == "training" else next(scores)
    )
    params = change_params(tiny_params, train__epochs=3)
    network, history = fit_tiny(params, data, tmp_path, events_dir=events)
    assert best_epoch(history).epoch == 2
    weights = network.get_weights()
    assert all(np.array_equal(a, b) for a, b in zip(weights, saved[2], strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(weights, saved[3], strict=True))


def scores_of_validation(monkeypatch, scores):
    """Give the epochs these validation scores."""
    phases = itertools.cycle(["training", "validation"])
    monkeypatch.setattr(
        loop, "mean_iou", lambda matrix: 0.5 if next(phases) == "training" else next(scores)
    )


def test_a_training_of_few_steps_is_said(tiny_params, data, tmp_path, monkeypatch, capsys):
    steps = data.train.num_examples // tiny_params.train.batch_size
    num_steps = tiny_params.train.epochs * steps
    for limit, is_said in ((num_steps, False), (num_steps + 1, True)):
        monkeypatch.setattr(epoch_log, "_MIN_STEPS", limit)
        fit_tiny(tiny_params, data, tmp_path / str(limit))
        said = f"Only {num_steps} training steps, {steps} per epoch; " in capsys.readouterr().out
        assert said is is_said


def test_training_stops_when_patience_is_over_even_after_a_kill(
    tiny_params, data, tmp_path, monkeypatch, capsys
):
    scores = [0.2, 0.9, 0.1, 0.9]  # an equal score is no better one
    said = "Stopped after epoch 4 of 6: no better validation mean IoU than epoch 2's for 2 epochs"
    params = change_params(tiny_params, train__epochs=6, train__patience=2)
    original = train_state.save_checkpoint

    def keep_every_state(checkpoint, folder):
        original(checkpoint, folder)
        if len(checkpoint.history) >= 3:  # as a kill in the last epoch, or after it, leaves it
            shutil.copytree(whole_dir, tmp_path / str(len(checkpoint.history)))

    whole_dir = tmp_path / "whole"
    scores_of_validation(monkeypatch, iter(scores))
    with monkeypatch.context() as patch:
        patch.setattr(train_state, "save_checkpoint", keep_every_state)
        whole, history = fit_tiny(params, data, whole_dir)
    assert len(history) == 4
    assert said in capsys.readouterr().out
    for epochs_done in (3, 4):
        scores_of_validation(monkeypatch, iter(scores[epochs_done:]))
        resumed_dir = tmp_path / str(epochs_done)
        resumed, resumed_history = fit_tiny(params, data, resumed_dir)
        assert resumed_history == history
        assert weights_equal(whole, resumed)
        assert said in capsys.readouterr().out
        files = [folder / "history.csv" for folder in (whole_dir, resumed_dir)]
        assert files[0].read_bytes() == files[1].read_bytes()

    scores_of_validation(monkeypatch, iter([*scores, 0.1, 0.1]))
    patient, all_epochs = fit_tiny(change_params(params, train__patience=0), data, tmp_path / "all")
    rates = [[row.learning_rate for row in rows[:4]] for rows in (history, all_epochs)]
    assert rates[0] == rates[1]
    assert weights_equal(whole, patient)  # both keep the second epoch's


def test_patience_begins_once_the_encoder_is_trained(tiny_params, data, tmp_path, monkeypatch):
    update = {"epochs": 5, "patience": 1, "frozen_encoder_epochs": 3}
    params = tiny_params.model_copy(update={"train": tiny_params.train.model_copy(update=update)})
    scores_of_validation(monkeypatch, iter([0.5, 0.4, 0.3, 0.2]))
    _, history = fit_tiny(params, data, tmp_path)
    assert len(history) == 4


def test_a_frozen_encoder_keeps_its_weights(tiny_params, data, tmp_path):
    update = {"frozen_encoder_epochs": 1, "epochs": 1}  # without pretrained weights, not valid
    params = tiny_params.model_copy(update={"train": tiny_params.train.model_copy(update=update)})
    network = build_tiny_network()
    encoder, head = network.get_layer("encoder"), network.get_layer("head")
    before, head_before = encoder.get_weights(), head.get_weights()
    fit_tiny(params, data, tmp_path, network)
    assert all(np.array_equal(a, b) for a, b in zip(before, encoder.get_weights(), strict=True))
    assert not np.array_equal(head_before[0], head.get_weights()[0])
    assert network.get_layer("projection_norm").training_kernel is fused_batch_norm


def test_a_run_resumed_within_an_epoch_equals_an_uninterrupted_one(
    tiny_params, data, tmp_path, monkeypatch, capsys
):
    class Killed(Exception):  # noqa: N818
        pass

    params = change_params(tiny_params, train__checkpoint_every_steps=1, train__ema_decay=0.9)
    update = {"frozen_encoder_epochs": 1}  # the encoder has just been unfrozen
    params = params.model_copy(update={"train": params.train.model_copy(update=update)})
    whole, history = fit_tiny(params, data, tmp_path / "whole")
    original = train_state.save_checkpoint

    def stop_in_the_second_epoch(checkpoint, folder):
        original(checkpoint, folder)
        if checkpoint.position == (1, 2):
            raise Killed

    monkeypatch.setattr(train_state, "save_checkpoint", stop_in_the_second_epoch)
    with pytest.raises(Killed):
        fit_tiny(params, data, tmp_path / "cut", events_dir=tmp_path / "events")
    monkeypatch.setattr(train_state, "save_checkpoint", original)
    resumed, resumed_history = fit_tiny(
        params, data, tmp_path / "cut", events_dir=tmp_path / "events"
    )
    assert f"Resuming after epoch 2 of 2, step 2 of {STEPS}." in capsys.readouterr().out
    assert resumed_history == history
    assert weights_equal(whole, resumed)
    csv_files = [(tmp_path / name / "history.csv").read_bytes() for name in ("whole", "cut")]
    assert csv_files[0] == csv_files[1]
    assert read_events(tmp_path / "events") == scalars_of(history)

    again, _ = fit_tiny(params, data, tmp_path / "cut")  # it is finished
    assert "Resuming after epoch 2 of 2." in capsys.readouterr().out
    assert weights_equal(whole, again)


def test_a_nan_loss_stops_training(tiny_params, data, tmp_path):
    network = build_tiny_network()
    network.get_layer("head").set_weights([np.full((1, 1, 8, 3), np.nan), np.zeros(3)])
    with pytest.raises(PetsegError) as caught:
        fit_tiny(tiny_params, data, tmp_path, network)
    assert str(caught.value).startswith("Loss became NaN or Inf at epoch 1/2, step 1/3;")
    assert load_checkpoint(tmp_path / "checkpoints") is None


def poison_call(number):
    """Return a loss function whose call of this number gives NaN."""
    calls = itertools.count(1)
    original = steps.segmentation_loss

    def loss(mask, logits, params):
        value = original(mask, logits, params)
        return value * np.nan if next(calls) == number else value

    return loss


@pytest.mark.parametrize(
    ("call", "position", "epochs_kept", "case"),
    [
        (7, "epoch 2/2, step 2/3", 1, "a NaN loss"),
        (5, "epoch 1/2, validation", 0, "a NaN validation loss"),
    ],
)
def test_a_nan_loss_keeps_the_last_good_checkpoint(
    tiny_params, data, tmp_path, monkeypatch, call, position, epochs_kept, case
):
    """An epoch has 3 training and 2 validation batches."""
    monkeypatch.setattr(steps, "segmentation_loss", poison_call(call))
    with pytest.raises(PetsegError, match=re.escape(position)) as caught:
        fit_tiny(tiny_params, data, tmp_path)
    assert matches(CASES[case], str(caught.value), tmp_path), str(caught.value)
    checkpoint = load_checkpoint(tmp_path / "checkpoints")
    assert (len(checkpoint.history) if checkpoint else 0) == epochs_kept
    assert checkpoint is None or all_finite(checkpoint)


def poison_gradients(number):
    """Return a loss function whose gradients are NaN from the call of this number on."""
    calls = itertools.count(1)
    original = steps.segmentation_loss

    def loss(mask, logits, params):
        value = original(mask, logits, params)
        return value + tf.sqrt(0 * value) if next(calls) >= number else value

    return loss


def test_a_resumed_run_keeps_the_loss_scale(tiny_params, data, tmp_path, monkeypatch, capsys):
    params = change_params(tiny_params, train__precision="mixed_float16")
    original, skipped = steps.segmentation_loss, "1 of 6 steps were skipped"

    def end_epoch(state, row):
        """After the epoch's last step overflowed, no more steps do."""
        monkeypatch.setattr(steps, "segmentation_loss", original)
        return end(state, row)

    end = train_state.TrainState.end_epoch
    monkeypatch.setattr(train_state.TrainState, "end_epoch", end_epoch)
    monkeypatch.setattr(steps, "segmentation_loss", poison_gradients(3))
    whole, _ = fit_tiny(params, data, tmp_path)
    printed = capsys.readouterr().out
    assert skipped in printed
    assert "The loss scale is 16384." in printed
    max((tmp_path / "checkpoints").glob("*.checkpoint")).unlink()  # of the second epoch
    resumed, _ = fit_tiny(params, data, tmp_path)
    assert weights_equal(whole, resumed)
    assert skipped in capsys.readouterr().out


def test_gradients_that_overflow_at_any_loss_scale_stop_training(
    tiny_params, data, tmp_path, monkeypatch
):
    monkeypatch.setattr(steps, "segmentation_loss", poison_gradients(1))
    monkeypatch.setattr(loss_scale, "_INITIAL_SCALE", 4.0)
    params = change_params(tiny_params, train__precision="mixed_float16")
    with pytest.raises(PetsegError, match="epoch 1/2, step 3/3") as caught:
        fit_tiny(params, data, tmp_path)
    case = CASES["NaN gradients in mixed_float16, even with a loss scale of 1"]
    assert matches(case, str(caught.value), tmp_path), str(caught.value)
    assert load_checkpoint(tmp_path / "checkpoints") is None


@pytest.mark.parametrize("interval", [1, 2])
def test_a_checkpoint_holds_exactly_the_steps_it_counts(
    tiny_params, data, tmp_path, monkeypatch, interval
):
    monkeypatch.setattr(steps, "segmentation_loss", poison_call(3))
    params = change_params(tiny_params, train__checkpoint_every_steps=interval)
    with pytest.raises(PetsegError, match="epoch 1/2, step 3/3"):
        fit_tiny(params, data, tmp_path)
    checkpoint = load_checkpoint(tmp_path / "checkpoints")
    assert checkpoint.partial_epoch.steps == 2
    variables = checkpoint.arrays["decoder"]
    iterations = [int(v) for v in variables if v.shape == () and v.dtype.kind == "i"]
    assert iterations == [2]
    assert all_finite(checkpoint)


def test_nan_weights_are_never_saved(tiny_params, data, tmp_path, monkeypatch):
    original = loop.Trainer._validate

    def spoil(trainer, epoch):
        result = original(trainer, epoch)
        batch_norm = trainer.state.network.get_layer("projection_norm")
        batch_norm.moving_variance.assign(np.full(8, np.inf))  # no loss has seen it
        return result

    monkeypatch.setattr(loop.Trainer, "_validate", spoil)
    with pytest.raises(PetsegError) as caught:
        fit_tiny(tiny_params, data, tmp_path)
    assert matches(CASES["NaN weights"], str(caught.value), tmp_path), str(caught.value)
    assert load_checkpoint(tmp_path / "checkpoints") is None


def test_a_shard_that_grows_while_it_is_read_stops_training(tiny_params, tiny_shards, tmp_path):
    """Images after those of the epoch's last step count too: otherwise later epochs would use them."""
    shutil.copytree(tiny_shards, tmp_path / "tfrecords")
    data = open_training_data(tmp_path / "tfrecords")
    with open(data.train.paths[0], "ab") as shard:
        shard.write(Path(data.train.paths[0]).read_bytes())
    with pytest.raises(PetsegError, match=r"shards.*dvc checkout --force"):
        fit_tiny(tiny_params, data, tmp_path)
    assert load_checkpoint(tmp_path / "checkpoints") is None


def test_a_batch_larger_than_the_data_is_an_error(tiny_params, data, tmp_path):
    with pytest.raises(PetsegError) as caught:
        fit_tiny(change_params(tiny_params, train__batch_size=64), data, tmp_path)
    case = CASES["a batch larger than the data"]
    assert matches(case, str(caught.value), tmp_path), str(caught.value)


def test_a_step_for_several_devices_is_not_compiled_with_xla(tiny_params, data, tmp_path):
    params = change_params(tiny_params, train__jit_compile=True).train
    devices = SimpleNamespace(worker_devices=("CPU:0", "CPU:1"))
    two_devices = SimpleNamespace(num_replicas_in_sync=2, extended=devices)
    with pytest.raises(PetsegError) as caught:
        Trainer(
            None,
            two_devices,
            data,
            params,
            seed=0,
            encoder_batch_norm="trained",
            checkpoint_dir=tmp_path,
        )
    case = CASES["`train.jit_compile` on several devices"]
    assert matches(case, str(caught.value), tmp_path), str(caught.value)
