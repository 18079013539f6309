"""The stage train as a whole: what it writes, and which settings change nothing."""

import itertools
import json
from dataclasses import replace

import keras
import numpy as np
import pytest
from PIL import Image

from petseg.config.paths import PipelinePaths
from petseg.core.errors import PetsegError
from petseg.evaluation.bootstrap import bootstrap_intervals
from petseg.evaluation.evaluate import score_split
from petseg.evaluation.per_image import compute_metrics
from petseg.evaluation.tables import summary_metrics
from petseg.model.saved import load_model
from petseg.prediction.predict import predict_split
from petseg.shards.manifest import read_manifest
from petseg.training import train as train_module
from petseg.training.precision import set_up_precision
from petseg.training.train import train
from support.encoders import small_encoder as use_small_encoder
from support.training import change_params

pytestmark = pytest.mark.usefixtures("small_encoder")


def paths_in(folder, shards):
    return replace(PipelinePaths.under(folder), shards=shards)


def train_in(folder, params, shards):
    """Train in a folder of its own. Return the paths."""
    paths = paths_in(folder, shards)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_ROOT", str(folder))
        patch.delenv("DVC_STAGE", raising=False)
        train(params, paths)
    return paths


@pytest.fixture(scope="module")
def params(tiny_params):
    return change_params(tiny_params, model__decoder_filters=[8, 8])


@pytest.fixture(scope="module")
def trained(params, tiny_shards, tmp_path_factory):
    """The paths of a training. Don't change its files."""
    with use_small_encoder():
        return train_in(tmp_path_factory.mktemp("trained"), params, tiny_shards)


def files_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def assert_metrics_equal_evaluate_s(params, paths, tolerance):
    metrics = json.loads(paths.train_metrics.read_text())
    manifest = read_manifest(paths.shards)
    _, counts = score_split(
        params.evaluate.model_copy(update={"batch_size": 3}),
        load_model(paths.model),
        paths.shards,
        manifest,
        "val",
    )
    measured = summary_metrics(compute_metrics(counts), bootstrap_intervals(counts, 2))
    for name in ("mean_iou", "pixel_accuracy"):
        assert measured[name] == pytest.approx(metrics[f"val_{name}"], abs=tolerance)


def test_training_metrics_match_evaluation(params, trained):
    assert_metrics_equal_evaluate_s(params, trained, 1e-6)


def test_training_writes_model_metrics_and_history(params, trained):
    metrics = json.loads(trained.train_metrics.read_text())
    origin = load_model(trained.model).origin
    assert metrics["best_epoch"] == origin.best_epoch
    assert metrics["val_mean_iou"] == origin.val_mean_iou
    assert metrics["deterministic"] is True
    assert metrics["environment"].startswith("CPU, ")
    assert len(trained.history.read_text().splitlines()) == 1 + params.train.epochs
    assert not trained.previews.exists()
    assert not trained.tensorboard.exists()


def test_a_finished_run_rewrites_a_lost_model(
    params, trained, tiny_shards, tmp_path, monkeypatch, capsys
):
    """The model was lost before DVC cached it; the settings that change no result may differ."""
    params = change_params(params, train__checkpoint_every_steps=1, train__tensorboard=True)
    paths = paths_in(tmp_path, tiny_shards)
    monkeypatch.setenv("DVC_ROOT", str(trained.model.parents[1]))
    train(params, paths)
    assert "Resuming after epoch 2 of 2." in capsys.readouterr().out
    assert files_of(paths.model) == files_of(trained.model)


def test_previews_and_events_show_the_training_without_changing_results(
    params, trained, tiny_shards, tmp_path
):
    paths = paths_in(tmp_path, tiny_shards)
    paths.previews.mkdir(parents=True)
    (paths.previews / "epoch_009.png").touch()  # of an earlier, longer training
    watched = change_params(params, train__preview_images=3, train__tensorboard=True)
    train_in(tmp_path, watched, tiny_shards)
    assert files_of(paths.model) == files_of(trained.model)
    assert paths.history.read_bytes() == trained.history.read_bytes()
    assert paths.train_metrics.read_bytes() == trained.train_metrics.read_bytes()
    [run] = paths.tensorboard.iterdir()
    assert (tmp_path / ".backup" / run.name).is_dir()
    [events] = run.iterdir()
    assert all(file in events.read_bytes() for file in files_of(paths.previews).values())
    assert sorted(files_of(paths.previews)) == ["epoch_001.png", "epoch_002.png"]

    manifest, size = read_manifest(tiny_shards), params.preprocess.image_size
    best = load_model(paths.model)
    grid = np.asarray(Image.open(paths.previews / f"epoch_{best.origin.best_epoch:03}.png"))
    rows = grid.reshape(3, size.height, 3, size.width, 3).transpose(0, 2, 1, 3, 4)
    colors = np.array(list(manifest.classes.values()), np.uint8)
    predictions = itertools.islice(predict_split(best, tiny_shards, manifest, "val", 8), 3)
    for (image, truth, predicted), prediction in zip(rows, predictions, strict=True):
        np.testing.assert_array_equal(image, prediction.image)
        np.testing.assert_array_equal(truth, colors[prediction.mask])
        assert np.mean((predicted == colors[prediction.predicted]).all(-1)) > 0.99


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_training_in_mixed_precision_gives_a_float32_network(
    params, tiny_shards, tmp_path, monkeypatch, dtype
):
    dtypes, original = {}, train_module.Trainer

    def spy(network, *args, **kwargs):
        layers = [*network.layers, *network.get_layer("encoder").layers]
        dtypes.update({layer.name: layer.compute_dtype for layer in layers})
        assert {weight.dtype for weight in network.weights} == {"float32"}
        return original(network, *args, **kwargs)

    monkeypatch.setattr(train_module, "Trainer", spy)
    settings = {"precision": f"mixed_{dtype}", "ema_decay": 0.9, "epochs": 1}
    params = change_params(params, **{f"train__{key}": value for key, value in settings.items()})
    paths = train_in(tmp_path, params, tiny_shards)
    float32 = {name for name, dtype in dtypes.items() if dtype == "float32"}
    assert float32 >= {"scale", "head", "upsample_logits"}
    assert {dtypes[name] for name in dtypes.keys() - float32} == {dtype}
    assert keras.config.dtype_policy().name == "float32"
    saved = load_model(paths.model)
    assert {layer.compute_dtype for layer in saved.network.layers} == {"float32"}
    assert_metrics_equal_evaluate_s(params, paths, 0.02)


def test_dvc_must_not_run_a_worker_that_writes_nothing(params, tiny_shards, tmp_path, monkeypatch):
    cluster = {"worker": ["host0:1234", "host1:1234"]}
    task = {"type": "worker", "index": 1}
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": cluster, "task": task}))
    monkeypatch.setenv("DVC_STAGE", "train")
    with pytest.raises(PetsegError, match=r"Worker 2 of 2 writes no outputs.*stages/train\.py"):
        train(params, paths_in(tmp_path, tiny_shards))
    assert list(tmp_path.iterdir()) == []


def test_on_a_cpu_tf32_is_float32_and_this_is_said(params, trained, tiny_shards, tmp_path, capsys):
    paths = train_in(tmp_path, change_params(params, train__precision="tf32"), tiny_shards)
    set_up_precision("float32")
    assert "train.precision is tf32, but the CPU has no hardware" in capsys.readouterr().out
    assert files_of(paths.model) == files_of(trained.model)
