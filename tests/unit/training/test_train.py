import errno
import itertools
import json
import math
import re
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
import yaml
from PIL import Image

from petseg import determinism
from petseg.config.params import parse_params
from petseg.core.errors import PetsegError, explain
from petseg.determinism import describe_environment, make_deterministic
from petseg.evaluation.bootstrap import bootstrap_intervals
from petseg.evaluation.evaluate import evaluate, score_split
from petseg.evaluation.per_image import compute_metrics
from petseg.evaluation.tables import summary_metrics
from petseg.metrics import mean_iou
from petseg.model.saved import load_model
from petseg.model.unet import Architecture, build_unet
from petseg.prediction.predict import predict_split
from petseg.shards.manifest import open_shards, read_manifest
from petseg.training import checkpoint_dir, loop, progress, steps, train_state
from petseg.training import train as training
from petseg.training.batch_norms import fused_batch_norm
from petseg.training.checkpoint import PartialEpoch, State, load_checkpoint, save_checkpoint
from petseg.training.checkpoint_dir import (
    backup_folder,
    discard_committed,
    discard_finished,
    mark_finished,
    training_lock,
)
from petseg.training.devices import strategy_for
from petseg.training.ema import EMA
from petseg.training.history import Epoch, best_epoch, write_history
from petseg.training.loop import TrainingData, fit
from petseg.training.optimizers import ParamGroup, build_groups, cosine_with_warmup
from petseg.training.steps import make_train_step
from petseg.training.train import train
from support.project import ROOT, with_values
from support.robustness import matches

SECTION = "Training"
CASES = {
    "a loss that is no number": "The loss is no longer a number at step … of … in epoch …; lower train.learning_rate or train.encoder_learning_rate.",
    "gradients that are no numbers": "Told likewise, though the loss may be one; the weights are lost, the last checkpoint isn't.",
    "a validation loss that is no number": "The loss is no longer a number at the validation after epoch …; lower train.learning_rate or train.encoder_learning_rate.",
    "weights that are no numbers": "The weights are no longer numbers after … epochs; lower train.learning_rate or train.encoder_learning_rate.",
    "a checkpoint torn": "Named and removed; the one before it serves.",
    "a checkpoint that can't be read just now": "\"The disk fails at ... (input/output error); look after it, then run dvc repro again.\" It stays.",
    "a batch larger than the data": "train.batch_size is 64, but must be at most …, the number of training pictures.",
}  # fmt: skip

TINY = Architecture("mobilenet_v2", 0.35, (8, 8, 8, 8), 3, output_stride=16)


def data_of(records):
    manifest = read_manifest(records)
    return TrainingData(*(open_shards(records, manifest, split) for split in ("train", "val")))


def changed(params, **values):
    keys = {key.replace("__", "."): value for key, value in values.items()}
    return parse_params(with_values(params.model_dump(mode="json"), keys))


def fit_tiny(params, records, folder):
    keras.utils.set_random_seed(params.seed)
    make_deterministic()
    strategy = strategy_for(["CPU:0"])
    with strategy.scope():
        network = build_unet(TINY)
    history = fit(
        network,
        strategy,
        data_of(records),
        params.train,
        True,
        params.seed,
        folder / "history.csv",
        folder / "backup",
    )
    return network, history


def test_four_pictures_are_learned_by_heart():
    keras.utils.set_random_seed(0)
    from petseg.datasets.synthetic.draw import draw_pet

    pictures = [draw_pet(0, index, 64) for index in range(4)]
    image = np.stack([p[0] for p in pictures]).astype(np.float32)
    mask = np.stack([p[1] for p in pictures]) - 1
    strategy = strategy_for(["CPU:0"])
    with strategy.scope():
        network = build_unet(Architecture("mobilenet_v2", 0.35, (48, 32, 32, 24, 16), 3))
        group = build_groups(network, parse_params(_fast()).train, 150)
    loss = parse_params(_fast()).train.loss
    step = make_train_step(strategy, network, list(group.values()), 4, loss, clip_norm=1.0)
    score = 0.0
    for _ in range(150):
        _, matrix = step(tf.constant(image), tf.constant(mask))
        score = float(mean_iou(matrix.numpy()))
        if score > 0.93:
            break
    assert score > 0.9


def _fast():
    raw = yaml.safe_load((ROOT / "params.yaml").read_text())
    return with_values(
        raw, {"train.epochs": 1, "train.warmup_epochs": 0.05, "train.learning_rate": 0.004}
    )


def test_train_metric_equals_evaluate_metric_and_the_backup_goes(
    tiny_params, tiny_shards, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setattr(checkpoint_dir, "is_cached", lambda model: True)
    outs = [tmp_path / name for name in ("model", "train.json", "history.csv", "previews")]
    train(tiny_params, tiny_shards, *outs)
    assert not (tmp_path / "previews").exists()
    told = json.loads((tmp_path / "train.json").read_text())
    params = tiny_params.evaluate.model_copy(update={"batch_size": 3})
    _, counts = score_split(
        params, load_model(tmp_path / "model"), tiny_shards, read_manifest(tiny_shards), "val"
    )
    measured = summary_metrics(compute_metrics(counts), bootstrap_intervals(counts, 2))
    assert measured["mean_iou"] == pytest.approx(told["val_mean_iou"], abs=1e-6)
    assert measured["pixel_accuracy"] == pytest.approx(told["val_pixel_accuracy"], abs=1e-6)
    lines = (tmp_path / "history.csv").read_text().splitlines()
    assert lines[0].startswith("epoch,learning_rate,loss,mean_iou,val_loss,val_mean_iou")
    assert len(lines) == 1 + tiny_params.train.epochs
    assert told["bit_exact"] is True
    assert re.fullmatch(
        r"CPU, \w+ \w+, 2 threads, Python 3\.\d+, tensorflow [\d.]+, keras [\d.]+, numpy [\d.]+, h5py .*",
        told["environment"],
    )

    before = {path.name: path.read_bytes() for path in (tmp_path / "model").iterdir()}
    (tmp_path / "model" / "model.json").unlink()
    tiny_params = changed(
        tiny_params, train__checkpoint_steps=1, train__preview_pictures=3
    )  # which change no result
    train(tiny_params, tiny_shards, *outs)
    assert "Going on after 2 epochs of 2." in capsys.readouterr().out  # nothing is trained again
    assert {path.name: path.read_bytes() for path in (tmp_path / "model").iterdir()} == before
    evaluate(
        tiny_params.evaluate,
        tiny_shards,
        tmp_path / "model",
        EvaluateOuts(*(tmp_path / name for name in "abcdefg")),
    )
    assert not [
        path for path in (tmp_path / ".backup").iterdir() if path.is_dir()
    ]  # the model is safe, and nothing is left of the checkpoint


def test_previews_show_photo_truth_and_prediction_and_change_no_result(
    tiny_params, tiny_shards, tmp_path, monkeypatch
):
    weights = []
    for pictures in (0, 3):
        monkeypatch.setenv("DVC_ROOT", str(tmp_path / str(pictures)))
        params = changed(tiny_params, train__preview_pictures=pictures, train__ema_decay=0.9)
        outs = [
            tmp_path / str(pictures) / name
            for name in ("model", "train.json", "history.csv", "previews")
        ]
        outs[-1].mkdir(parents=True)
        (outs[-1] / "epoch_009.png").touch()  # of an earlier, longer training
        train(params, tiny_shards, *outs)
        weights.append((outs[0] / "model.weights.h5").read_bytes())
    assert weights[0] == weights[1]
    assert sorted(path.name for path in outs[-1].iterdir()) == ["epoch_001.png", "epoch_002.png"]

    manifest, size = read_manifest(tiny_shards), tiny_params.preprocess.image_size
    best = load_model(outs[0])
    sheet = np.asarray(Image.open(outs[-1] / f"epoch_{best.origin.epoch:03}.png"))
    sheet = sheet.reshape(3, size, 3, size, 3).transpose(0, 2, 1, 3, 4)
    colors = np.array(list(manifest.classes.values()), np.uint8)
    predictions = itertools.islice(predict_split(best, tiny_shards, manifest, "val", 8), 3)
    for (photo, truth, predicted), one in zip(sheet, predictions, strict=True):
        np.testing.assert_array_equal(photo, one.image)
        np.testing.assert_array_equal(truth, colors[one.mask])
        assert np.mean((predicted == colors[one.predicted]).all(-1)) > 0.99


def test_the_bar_counts_pictures_and_tells_loss_and_mean_iou(monkeypatch):
    monkeypatch.setattr(progress, "_PAUSE", -1.0)
    with progress.StepBar("epoch 1/2", 1, 3, 4, False) as bar:
        bar.step(0.5, tf.constant([[1, 1], [0, 2]]))
        assert (bar.n, bar.total) == (8, 12)
        assert bar.postfix == "loss=0.5000, mean IoU=0.5833"  # (1/2 + 2/3) / 2


def test_the_environment_names_what_the_user_told_tensorflow_s_libraries(monkeypatch):
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    assert ", ONEDNN_MAX_CPU_ISA=AVX2, " in describe_environment()
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA")
    assert "ONEDNN" not in describe_environment()


@pytest.mark.parametrize("has_it", [False, True])
def test_the_environment_names_the_instructions_of_a_precision_that_is_asked_for(
    monkeypatch, has_it
):
    monkeypatch.setitem(determinism.__cpu_features__, "AVX512BF16", has_it)
    assert ("AVX512BF16" in describe_environment(precision="mixed_bfloat16")) is has_it
    assert "AVX512BF16" not in describe_environment()


class _KilledError(Exception):
    pass


def test_the_best_epoch_is_kept(tiny_params, tiny_shards, tmp_path, monkeypatch):
    scores = iter([0.2, 0.9, 0.1])
    saved = {}
    original = train_state.save_checkpoint

    def remember(state, folder):
        saved[len(state.history)] = [w.copy() for w in state.arrays["network"]]
        original(state, folder)

    monkeypatch.setattr(train_state, "save_checkpoint", remember)

    turns = itertools.cycle(["training", "validation"])
    monkeypatch.setattr(
        loop, "mean_iou", lambda matrix: 0.5 if next(turns) == "training" else next(scores)
    )
    network, history = fit_tiny(changed(tiny_params, train__epochs=3), tiny_shards, tmp_path)
    assert best_epoch(history).epoch == 2
    assert all(np.array_equal(a, b) for a, b in zip(network.get_weights(), saved[2], strict=True))
    assert not all(
        np.array_equal(a, b) for a, b in zip(network.get_weights(), saved[3], strict=True)
    )


def test_a_frozen_encoder_stays_as_it_was(tiny_params, tiny_shards, tmp_path):
    settings = tiny_params.train.model_copy(update={"frozen_encoder_epochs": 1, "epochs": 1})
    strategy = strategy_for(["CPU:0"])
    with strategy.scope():
        network = build_unet(TINY)
    encoder = network.get_layer("encoder")
    before = encoder.get_weights()
    head = network.get_layer("head").get_weights()
    fit(
        network,
        strategy,
        data_of(tiny_shards),
        settings,
        True,
        0,
        tmp_path / "history.csv",
        tmp_path / "backup",
    )
    assert all(np.array_equal(a, b) for a, b in zip(before, encoder.get_weights(), strict=True))
    assert not np.array_equal(head[0], network.get_layer("head").get_weights()[0])
    assert network.get_layer("bridge_norm").training_kernel is fused_batch_norm


def test_a_loss_that_is_no_number_stops_the_training(tiny_params, tiny_shards, tmp_path):
    settings = tiny_params.train
    strategy = strategy_for(["CPU:0"])
    with strategy.scope():
        network = build_unet(TINY)
    network.get_layer("head").set_weights([np.full((1, 1, 8, 3), np.nan), np.zeros(3)])
    with pytest.raises(
        PetsegError,
        match=r"loss is no longer a number at step 1 of \d in epoch 1/2; lower train\.learning_rate",
    ):
        fit(
            network,
            strategy,
            data_of(tiny_shards),
            settings,
            True,
            0,
            tmp_path / "history.csv",
            tmp_path / "backup",
        )


def poisoned_at(step):
    """A loss that gives no number at that call, counted while the graphs are made eagerly."""
    calls = itertools.count(1)
    original = steps.segmentation_loss

    def loss(mask, logits, params):
        value = original(mask, logits, params)
        return value * np.nan if next(calls) == step else value

    return loss


@pytest.fixture
def eagerly():
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.mark.filterwarnings(
    "ignore:Even though the `tf.config.experimental_run_functions_eagerly`:UserWarning"
)
@pytest.mark.parametrize(
    ("call", "where", "epochs", "case"),
    [
        (7, "step 2 of 3 in epoch 2/2", 1, "a loss that is no number"),
        (5, "the validation after epoch 1/2", 0, "a validation loss that is no number"),
    ],
)
def test_a_training_that_goes_wrong_later_keeps_its_last_good_checkpoint(
    tiny_params, tiny_shards, tmp_path, monkeypatch, eagerly, call, where, epochs, case
):
    data = data_of(tiny_shards)
    assert (data.train.num_examples // 8, math.ceil(data.val.num_examples / 8)) == (
        3,
        2,
    )  # calls an epoch
    monkeypatch.setattr(steps, "segmentation_loss", poisoned_at(call))
    with pytest.raises(
        PetsegError, match=f"The loss is no longer a number at {where}; lower"
    ) as caught:
        fit_tiny(tiny_params, tiny_shards, tmp_path)
    assert matches(CASES[case], str(caught.value), tmp_path)
    state = load_checkpoint(tmp_path / "backup")
    assert (len(state.history) if state else 0) == epochs
    if state:
        assert all(np.isfinite(array).all() for arrays in state.arrays.values() for array in arrays)
    monkeypatch.undo()
    _, history = fit_tiny(
        tiny_params, tiny_shards, tmp_path
    )  # what was wrong is mended: it goes on
    assert len(history) == 2


@pytest.mark.filterwarnings(
    "ignore:Even though the `tf.config.experimental_run_functions_eagerly`:UserWarning"
)
@pytest.mark.parametrize("every", [1, 2])
def test_no_step_has_been_made_after_those_a_checkpoint_counts(
    tiny_params, tiny_shards, tmp_path, monkeypatch, eagerly, every
):
    monkeypatch.setattr(steps, "segmentation_loss", poisoned_at(3))
    with pytest.raises(PetsegError, match="no longer a number at step 3 of 3 in epoch 1/2"):
        fit_tiny(changed(tiny_params, train__checkpoint_steps=every), tiny_shards, tmp_path)
    state = load_checkpoint(tmp_path / "backup")
    assert state.begun.steps == 2
    iterations = [
        array for array in state.arrays["decoder"] if array.shape == () and array.dtype.kind == "i"
    ]
    assert [int(array) for array in iterations] == [2]
    assert all(np.isfinite(array).all() for arrays in state.arrays.values() for array in arrays)


def test_a_shard_that_grows_while_it_is_read_stops_the_training(tiny_params, tiny_shards, tmp_path):
    """The pictures beyond those of the epoch's steps count too: else it would go on with others than it was given."""
    records = tmp_path / "tfrecords"
    shutil.copytree(tiny_shards, records)
    data = data_of(records)
    with open(data.train.paths[0], "ab") as shard:
        shard.write(Path(data.train.paths[0]).read_bytes())
    strategy = strategy_for(["CPU:0"])
    with strategy.scope():
        network = build_unet(TINY)
    with pytest.raises(
        PetsegError, match=r"Reading the shards failed .*; run dvc checkout --force"
    ):
        fit(
            network,
            strategy,
            data,
            tiny_params.train,
            True,
            0,
            tmp_path / "history.csv",
            tmp_path / "backup",
        )
    assert load_checkpoint(tmp_path / "backup") is None


def test_a_training_in_mixed_precision_makes_a_network_of_float32(
    tiny_params, tiny_shards, tmp_path, monkeypatch
):
    computed, original = {}, training.fit

    def noting(network, *others):
        layers = [*network.layers, *network.get_layer("encoder").layers]
        computed.update({layer.name: layer.compute_dtype for layer in layers})
        assert {weight.dtype for weight in network.weights} == {"float32"}
        return original(network, *others)

    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setattr(training, "fit", noting)
    outs = [tmp_path / name for name in ("model", "train.json", "history.csv", "previews")]
    train(changed(tiny_params, train__precision="mixed_bfloat16"), tiny_shards, *outs)
    assert {
        computed.pop(name) for name in ("scale", "head", "input_upsampling") if name in computed
    } == {"float32"}
    assert set(computed.values()) == {"bfloat16"}
    assert keras.config.dtype_policy().name == "float32"
    saved = load_model(tmp_path / "model")
    assert {layer.compute_dtype for layer in saved.network.layers} == {"float32"}
    told = json.loads((tmp_path / "train.json").read_text())
    _, counts = score_split(
        tiny_params.evaluate, saved, tiny_shards, read_manifest(tiny_shards), "val"
    )
    measured = summary_metrics(compute_metrics(counts), bootstrap_intervals(counts, 2))
    for name in ("mean_iou", "pixel_accuracy"):
        assert measured[name] == pytest.approx(told[f"val_{name}"], abs=0.02)


def test_gradients_that_are_no_numbers_stop_the_training_though_the_loss_is_one(tiny_params):
    network = keras.Sequential(
        [keras.Input((4, 4, 3)), keras.layers.Conv2D(3, 1), keras.layers.Lambda(_steep)]
    )
    optimizer = keras.optimizers.SGD(0.1)
    optimizer.build(network.trainable_variables)
    group = ParamGroup(optimizer, network.trainable_variables)
    step = make_train_step(
        strategy_for(["CPU:0"]), network, [group], 1, tiny_params.train.loss, 1.0
    )
    loss, _ = step(tf.zeros((1, 4, 4, 3)), tf.zeros((1, 4, 4), tf.uint8))
    assert np.isnan(loss)


def _steep(x):
    """0 at 0, where its slope is infinite."""
    return keras.ops.sqrt(keras.ops.abs(x))


def test_weights_that_are_no_numbers_are_never_kept(
    tiny_params, tiny_shards, tmp_path, monkeypatch
):
    original = loop._Trainer._validate

    def spoil(trainer, number):
        losses = original(trainer, number)
        trainer.train_state.network.get_layer("bridge_norm").moving_variance.assign(
            np.full(8, np.inf)
        )  # unseen by a loss
        return losses

    monkeypatch.setattr(loop._Trainer, "_validate", spoil)
    with pytest.raises(PetsegError) as caught:
        fit_tiny(tiny_params, tiny_shards, tmp_path)
    assert matches(CASES["weights that are no numbers"], str(caught.value), tmp_path), str(
        caught.value
    )
    assert load_checkpoint(tmp_path / "backup") is None


def test_a_batch_larger_than_the_data_is_told(tiny_params, tiny_shards, tmp_path):
    with pytest.raises(PetsegError) as caught:
        fit_tiny(changed(tiny_params, train__batch_size=64), tiny_shards, tmp_path)
    assert matches(CASES["a batch larger than the data"], str(caught.value), tmp_path)


def test_the_learning_rate_warms_up_and_falls_to_nothing():
    schedule = cosine_with_warmup(0.01, steps=100, warmup=10)
    rates = [float(schedule(step)) for step in range(101)]
    assert rates[0] == 0
    assert rates[5] == pytest.approx(0.005)
    assert rates[10] == pytest.approx(0.01) == max(rates)
    assert rates[100] == pytest.approx(0, abs=1e-9)
    assert float(cosine_with_warmup(0.01, 100, 0)(0)) == pytest.approx(0.01)


ROWS = [Epoch(1, 0.1, 1.0, 0.2, 1.1, 0.3, 0.4)]


def test_a_checkpoint_brings_everything_back(tmp_path):
    arrays = {
        "network": [np.arange(6.0).reshape(2, 3), np.float32(3) * np.ones(())],
        "best": [np.ones(2)],
    }
    begun = PartialEpoch(7, 0.1 + 0.2, np.array([[2**40, 1], [0, 3]]))
    save_checkpoint(State(ROWS, arrays, begun), tmp_path / "b")
    back = load_checkpoint(tmp_path / "b")
    assert back.history == ROWS
    assert (back.begun.steps, back.begun.loss_sum) == (7, 0.1 + 0.2)
    assert np.array_equal(back.begun.confusion, begun.confusion)
    assert back.begun.confusion.dtype == np.int64
    assert list(back.arrays) == ["network", "best"]
    assert all(
        np.array_equal(a, b) for a, b in zip(back.arrays["network"], arrays["network"], strict=True)
    )
    assert load_checkpoint(tmp_path / "nothing") is None


def state_of(step):
    return State(
        ROWS, {"network": [np.full(500, step)]}, PartialEpoch(step, 0.0, np.zeros((2, 2), np.int64))
    )


def test_only_the_two_newest_checkpoints_are_kept(tmp_path):
    for step in range(8, 13):
        save_checkpoint(state_of(step), tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
    assert load_checkpoint(tmp_path).begun.steps == 12


@pytest.mark.parametrize("tear", ["cut", "zeros", "empty", "flipped"])
def test_a_torn_checkpoint_falls_back_to_the_one_before(tmp_path, capsys, tear):
    for step in (1, 2):
        save_checkpoint(state_of(step), tmp_path)
    newest = max(tmp_path.iterdir())
    data = newest.read_bytes()
    middle = len(data) // 2
    torn = {
        "cut": data[:middle],
        "zeros": data[:middle] + bytes(len(data) - middle),
        "empty": b"",
        "flipped": data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :],
    }
    newest.write_bytes(torn[tear])
    assert load_checkpoint(tmp_path).begun.steps == 1
    assert f"{newest} is damaged" in capsys.readouterr().out
    assert not newest.exists()  # it must not count among the two newest
    for path in tmp_path.iterdir():
        path.write_bytes(b"")
    assert load_checkpoint(tmp_path) is None


def test_a_checkpoint_that_cannot_be_read_just_now_is_not_thrown_away(tmp_path, monkeypatch):
    for step in (1, 2):
        save_checkpoint(state_of(step), tmp_path)

    def fail(path):
        raise OSError(errno.EIO, "Input/output error", str(path))

    monkeypatch.setattr(Path, "read_bytes", fail)
    with pytest.raises(OSError, match="Input/output error") as caught:
        load_checkpoint(tmp_path)
    promise = CASES["a checkpoint that can't be read just now"].split('"')[1]
    assert matches(promise.replace("...", "…"), explain(caught.value), tmp_path)
    monkeypatch.undo()
    assert load_checkpoint(tmp_path).begun.steps == 2


def test_checkpoints_are_in_order_up_to_the_most_epochs_allowed(tmp_path):
    for epochs in (999_999, 1_000_000):
        save_checkpoint(State(_Rows(epochs), {"network": []}), tmp_path)
    newest = max(tmp_path.iterdir())
    assert newest.name.startswith("1000000-")


class _Rows(list):
    """A history of any length."""

    def __init__(self, length):
        super().__init__(ROWS)
        self.length = length

    def __len__(self):
        return self.length


def test_every_byte_of_a_checkpoint_is_watched(tmp_path):
    save_checkpoint(state_of(1), tmp_path)
    path = next(tmp_path.iterdir())
    data = path.read_bytes()
    for at in range(0, len(data), 37):
        path.write_bytes(data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :])
        assert load_checkpoint(tmp_path) is None


def test_resumed_within_an_epoch_equals_never_stopped(
    tiny_params, tiny_shards, tmp_path, monkeypatch
):
    params = changed(tiny_params, train__epochs=2, train__checkpoint_steps=1, train__ema_decay=0.9)
    settings = params.train.model_copy(
        update={"frozen_encoder_epochs": 1}
    )  # so the encoder has just thawed
    params = params.model_copy(update={"train": settings})
    whole, history = fit_tiny(params, tiny_shards, tmp_path / "whole")
    original = train_state.save_checkpoint

    def stop_in_the_second_epoch(state, folder):
        original(state, folder)
        if state.position == (1, 2):
            raise _KilledError

    monkeypatch.setattr(train_state, "save_checkpoint", stop_in_the_second_epoch)
    with pytest.raises(_KilledError):
        fit_tiny(params, tiny_shards, tmp_path / "cut")
    monkeypatch.setattr(train_state, "save_checkpoint", original)
    resumed, resumed_history = fit_tiny(params, tiny_shards, tmp_path / "cut")
    assert resumed_history == history
    assert all(
        np.array_equal(a, b)
        for a, b in zip(whole.get_weights(), resumed.get_weights(), strict=True)
    )
    assert (tmp_path / "whole" / "history.csv").read_bytes() == (
        tmp_path / "cut" / "history.csv"
    ).read_bytes()


def test_a_finished_training_stays_until_its_model_is_safe(tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    cached = set()
    monkeypatch.setattr(checkpoint_dir, "is_cached", lambda model: model in cached)
    folders = [backup_folder({"rate": rate}, [], {}) for rate in (0.1, 0.2, 0.3)]
    models = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        with training_lock(folder):
            save_checkpoint(state_of(1), folder)
    for folder, model in zip(folders, models, strict=False):
        model.mkdir()
        (model / "weights").write_text(model.name)
        mark_finished(folder, model)
    discard_finished(models[0])  # DVC's cache hasn't got it: its disk was full
    assert [folder.exists() for folder in folders] == [True, True, True]
    cached.update((folder / "finished").read_text() for folder in folders[:2])
    discard_finished(models[0])
    assert [folder.exists() for folder in folders] == [False, True, True]
    discard_committed(tmp_path / "dvc.lock")
    (tmp_path / "dvc.lock").write_text("nothing")
    discard_committed(tmp_path / "dvc.lock")
    assert [folder.exists() for folder in folders] == [False, True, True]
    entry = [{"md5": (folders[1] / "finished").read_text(), "path": "models/unet"}]
    (tmp_path / "dvc.lock").write_text(yaml.safe_dump({"stages": {"evaluate": {"deps": entry}}}))
    discard_committed(tmp_path / "dvc.lock")
    assert [folder.exists() for folder in folders] == [False, True, True]
    (tmp_path / "dvc.lock").write_text(yaml.safe_dump({"stages": {"train": {"outs": entry}}}))
    discard_committed(tmp_path / "dvc.lock")
    assert [folder.exists() for folder in folders] == [False, False, True]


def test_a_note_that_is_gone_or_torn_stops_nobody(tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    for name in ("gone", "torn"):
        (tmp_path / ".backup" / name).mkdir(parents=True)
        (tmp_path / "model").mkdir(exist_ok=True)
    (tmp_path / ".backup" / "torn" / "finished").write_bytes(b"\xff\xfe")
    (tmp_path / ".backup" / "gone" / "finished").write_text("removed after it was listed")
    original = Path.read_text

    def read(path, **kwargs):
        if path.parent.name == "gone":
            path.unlink()
        return original(path, **kwargs)

    monkeypatch.setattr(Path, "read_text", read)
    discard_finished(tmp_path / "model")
    assert (tmp_path / ".backup" / "torn").exists()


def test_two_processes_never_train_the_same(tmp_path):
    with training_lock(tmp_path / "fingerprint"):  # noqa: SIM117 (one within the other is the point)
        with pytest.raises(
            PetsegError, match="Another process is training with the same parameters, data and code"
        ):
            training_lock(tmp_path / "fingerprint").__enter__()


def test_checkpoints_of_other_parameters_data_or_code_lie_elsewhere(tmp_path):
    code, data = {"petseg.a": tmp_path / "a.py"}, tmp_path / "manifest.json"
    code["petseg.a"].write_text("1")
    data.write_text("{}")
    folders = [
        backup_folder({"rate": 0.1}, [data], code),
        backup_folder({"rate": 0.2}, [data], code),
    ]
    data.write_text("{ }")
    folders.append(backup_folder({"rate": 0.1}, [data], code))
    code["petseg.a"].write_text("2")
    folders.append(backup_folder({"rate": 0.1}, [data], code))
    assert len(set(folders)) == 4


def test_only_the_code_that_is_imported_counts():
    code = """
import petseg.training.train
from petseg.training.checkpoint_dir import imported_code
print(*sorted(imported_code()))
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(ROOT / "src")},
    )
    names = done.stdout.split()
    assert "petseg.training.loop" in names
    assert "petseg.batches" in names
    assert not [
        name for name in names if name.startswith(("petseg.rendering", "petseg.evaluation"))
    ]


def test_the_average_of_the_weights_is_what_it_says():
    network = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    average = EMA(network, 0.5)
    expected = 0.0
    average.set_values([np.zeros((1, 1), np.float32)])
    for step in range(1, 8):
        network.set_weights([np.full((1, 1), step, np.float32)])
        average.follow(tf.constant(step))
        decay = min(0.5, (1 + step) / (10 + step))  # 2/11, 3/12 ... then 0.5
        expected = decay * expected + (1 - decay) * step
        assert average.values()[0].item() == pytest.approx(expected)
    with average.in_place():
        assert network.get_weights()[0].item() == pytest.approx(expected)
    assert network.get_weights()[0].item() == 7


def test_history_is_written_whole(tmp_path):
    rows = [Epoch(1, 0.004, 1 / 3, 0.2, 1.1, 0.3, 0.4)]
    write_history(rows, tmp_path / "plots" / "history.csv")
    assert (tmp_path / "plots" / "history.csv").read_text().splitlines()[
        1
    ] == "1,0.004,0.333333,0.2,1.1,0.3,0.4"
    assert len(list((tmp_path / "plots").iterdir())) == 1


TWO_DEVICES = """
import sys, json
import numpy as np, tensorflow as tf, keras
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from petseg.model.unet import Architecture, build_unet
from petseg.config.params import load_params
from petseg.training.devices import strategy_for
from petseg.training.ema import EMA
from petseg.training.batch_norms import prepare_batch_norms
from petseg.training.optimizers import build_groups
from petseg.training.steps import make_train_step, make_validation_step
params = load_params(sys.argv[1])
rng = np.random.default_rng(0)
image = tf.constant(rng.uniform(0, 255, (4, 32, 32, 3)), tf.float32)
mask = tf.constant(rng.integers(0, 3, (4, 32, 32)), tf.uint8)
one, two = ["CPU:0"], ["CPU:0", "CPU:1"]
for devices, synchronized in {"synchronized": [(one, True), (two, True)], "by part": [(two, False)]}[sys.argv[2]]:
    keras.utils.set_random_seed(0)
    strategy = strategy_for(devices)
    with strategy.scope():
        network = build_unet(Architecture("mobilenet_v2", 0.35, (8, 8), 3, output_stride=16))
        layers = [*network.layers, *network.get_layer("encoder").layers]
        prepare_batch_norms(layers, 100, len(devices), synchronized)
        groups = list(build_groups(network, params.train, 3).values())
        average = EMA(network, 0.9)
    step = make_train_step(strategy, network, groups, 4, params.train.loss, 0.01, average)
    losses = [float(step(image, mask)[0])]
    moments = [w for group in groups for w in group.optimizer.variables if "momentum" in w.path]
    moment = float(np.sqrt(sum(np.sum(np.square(w)) for w in moments)))  # a tenth of the gradient's norm
    losses += [float(step(image, mask)[0]) for _ in range(5)]
    validate = make_validation_step(strategy, network, params.train.loss)
    with average.in_place():
        loss, matrix = validate(tf.cast(image, tf.uint8), mask, tf.ones(4, tf.bool))
    statistics = [w for w in network.weights if "moving" in w.path]
    drift = 0.0
    for w in statistics:
        values = [v.numpy() for v in strategy.experimental_local_results(w.value)]
        drift = max(drift, *(float(np.abs(v - values[0]).max()) for v in values))
    print("RESULT", json.dumps([losses, float(loss), np.asarray(matrix).tolist(), drift, moment]))

from petseg.training.batch_norms import fused_batch_norm, fused_batch_norm_of_a_part
x = tf.constant(rng.normal(3, 2, (4, 8, 8, 2)) + np.arange(4)[:, None, None, None], tf.float32)  # unlike parts
ones, zeros = keras.Variable([1.0, 1.0]), keras.Variable([0.0, 0.0])
parts = strategy.experimental_distribute_values_from_function(
    lambda context: tf.split(x, 2)[context.replica_id_in_sync_group]
)
stored = strategy.run(lambda part: fused_batch_norm_of_a_part(part, ones, zeros, 0.001)[1:], args=(parts,))
whole = fused_batch_norm(x, ones, zeros, 0.001)[1:]
for on_devices, expected in zip(stored, whole):
    for value in strategy.experimental_local_results(on_devices):
        np.testing.assert_allclose(value, expected, rtol=1e-5)
print("STORED")
"""


def on_two_devices(batch_norms):
    """What the script prints; each kind in a process of its own, for the devices' exchanges are numbered by process."""
    done = subprocess.run(
        [sys.executable, "-c", TWO_DEVICES, str(ROOT / "params.yaml"), batch_norms],
        env={"PYTHONPATH": str(ROOT / "src"), "PATH": "/usr/bin", "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True, text=True,
    )  # fmt: skip
    assert "STORED" in done.stdout, done.stderr
    return [json.loads(line[7:]) for line in done.stdout.splitlines() if line.startswith("RESULT")]


def test_two_devices_whose_batch_norms_see_their_own_part_alone_learn_too():
    [(losses, _, _, drift, _)] = on_two_devices("by part")
    assert drift == 0  # both devices hold the same statistics, those of the whole batch
    assert losses[-1] < losses[0]


def test_two_devices_compute_what_one_does():
    one, two = on_two_devices("synchronized")
    losses, val_loss, matrix, _, moment = one
    two_losses, two_val_loss, two_matrix, drift, two_moment = two
    assert drift == 0
    assert losses[0] > losses[-1]
    assert two_losses[0] == pytest.approx(losses[0], rel=1e-5)
    assert moment == pytest.approx(
        0.1 * 0.01, rel=1e-3
    )  # of the clipped gradient, which Adam's steps don't tell
    assert two_moment == pytest.approx(moment, rel=1e-4)
    assert two_losses[1] == pytest.approx(losses[1], rel=1e-4)  # one update later
    assert two_losses == pytest.approx(losses, rel=5e-3)  # rounding grows under Adam
    assert two_val_loss == pytest.approx(val_loss, rel=5e-3)
    assert np.sum(matrix) == np.sum(two_matrix) == 4 * 32 * 32
