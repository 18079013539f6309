"""`petseg compare`: two models on the same pictures."""

import json
import shutil

import keras
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from PIL import Image

from petseg.cli import main
from petseg.core.errors import PetsegError
from petseg.evaluation.evaluate import score_split
from petseg.evaluation.per_image import compute_metrics
from petseg.model.saved import Origin, SavedModel, load_model, save_model
from petseg.model.unet import Architecture, build_unet
from petseg.photos.compare import compare_models
from petseg.prediction.predict import predict_split
from petseg.prediction.tta import NO_TTA
from petseg.shards.manifest import read_manifest


@pytest.fixture(scope="module")
def models(tiny_shards, tmp_path_factory):
    """Two folders of untrained models that differ."""
    architecture = Architecture("mobilenet_v2", 0.35, (8, 8, 8, 8, 8), 3)
    manifest = read_manifest(tiny_shards)
    folders = [tmp_path_factory.mktemp("models") / name for name in ("first", "second")]
    for seed, folder in enumerate(folders):
        keras.utils.set_random_seed(seed)
        save_model(SavedModel(build_unet(architecture), architecture, manifest.classes, 32), folder)
    return folders


def test_both_models_metrics_are_those_of_evaluate(models, tiny_params, tiny_shards):
    found = compare_models(*models, tiny_shards, "test", batch_size=3, tta=NO_TTA, shown=2)
    table = found.table.set_index("metric")
    assert found.pictures == 8
    manifest = read_manifest(tiny_shards)
    for column, folder in zip(("first", "second"), models, strict=True):
        _, counts = score_split(
            tiny_params.evaluate, load_model(folder), tiny_shards, manifest, "test"
        )
        wanted = {".".join(name): float(value) for name, value in compute_metrics(counts).items()}
        assert table[column].to_dict() == pytest.approx(wanted, abs=1e-6, nan_ok=True)
    row = table.loc["mean_iou"]
    assert row["difference"] == pytest.approx(row["second"] - row["first"], abs=2e-6)
    assert row["low_95"] < row["difference"] < row["high_95"]


def test_the_pictures_on_which_they_differ_most_come_first(models, tiny_shards, monkeypatch):
    captions = []
    monkeypatch.setattr(
        "petseg.photos.compare.draw_image_grid",
        lambda titles, rows, legend: captions.extend(row.caption for row in rows),
    )
    compare_models(*models, tiny_shards, "test", 8, NO_TTA, shown=3)
    manifest = read_manifest(tiny_shards)
    pairs = zip(
        *(predict_split(load_model(f), tiny_shards, manifest, "test", 8) for f in models),
        strict=True,
    )
    apart = {a.file_name: np.mean(a.predicted != b.predicted) for a, b in pairs}
    assert [caption.split()[0] for caption in captions] == sorted(
        apart, key=apart.get, reverse=True
    )[:3]
    assert captions[0].endswith(f"different pixels {max(apart.values()):.1%}")


def test_a_model_compared_with_its_copy_is_no_better(models, tiny_shards, tmp_path):
    copy = shutil.copytree(models[0], tmp_path / "copy")
    table = compare_models(models[0], copy, tiny_shards, "val", 8, NO_TTA, 1).table
    rows = table.set_index("metric").loc[
        ["mean_iou", "pixel_accuracy", "iou.background", "foreground_iou_per_image"]
    ]
    assert (rows[["difference", "low_95", "high_95"]] == 0).all(axis=None)


def test_a_model_is_not_compared_with_itself(models, tiny_shards):
    with pytest.raises(PetsegError, match="are the same model; name two"):
        compare_models(models[0], models[0], tiny_shards, "val", 8, NO_TTA, 1)


def saved_with(tiny_shards, folder, size=32, **origin):
    manifest = read_manifest(tiny_shards)
    known = {
        "dataset": "drawn",
        "train_images": 1,
        "val_images": 1,
        "val_sha256": manifest.checksum("val"),
        "seed": 0,
    }
    whole = Origin(
        **{**known, "best_epoch": 1, "val_mean_iou": 0.5, "val_pixel_accuracy": 0.5, **origin}
    )
    architecture = Architecture("mobilenet_v2", 0.35, (8, 8, 8, 8, 8), 3)
    save_model(
        SavedModel(build_unet(architecture), architecture, manifest.classes, size, whole), folder
    )
    return folder


def test_pictures_that_a_model_may_have_been_trained_on_are_no_judge(models, tiny_shards, tmp_path):
    same = saved_with(tiny_shards, tmp_path / "same")
    compare_models(models[0], same, tiny_shards, "val", 8, NO_TTA, 1)
    other = saved_with(tiny_shards, tmp_path / "other", val_sha256="1")
    with pytest.raises(
        PetsegError,
        match=r"other was trained with another validation part.*compare on --split test",
    ):
        compare_models(models[0], other, tiny_shards, "val", 8, NO_TTA, 1)
    compare_models(models[0], other, tiny_shards, "test", 8, NO_TTA, 1)


def test_a_model_for_another_size_is_named(models, tiny_shards, tmp_path):
    other = saved_with(tiny_shards, tmp_path / "other", size=64)
    with pytest.raises(
        PetsegError,
        match=r"other was trained for .* at 64 px, the shards hold .* at 32 px; only models",
    ):
        compare_models(models[0], other, tiny_shards, "test", 8, NO_TTA, 1)


def test_as_it_is_typed(models, tiny_shards, tmp_path):
    words = [
        "compare",
        *map(str, models),
        "--shards",
        str(tiny_shards),
        "--out",
        str(tmp_path / "out"),
    ]
    done = CliRunner().invoke(main, [*words, "--num-images", "2"])
    assert done.exit_code == 0, done.output
    table = pd.read_csv(tmp_path / "out" / "metrics.csv").set_index("metric")
    shown = dict(line.split(maxsplit=1) for line in done.output.splitlines()[1:-1])
    assert shown["mean_iou"].split()[:2] == [
        f"{table.loc['mean_iou', name]:.4f}" for name in ("first", "second")
    ]
    with Image.open(tmp_path / "out" / "pictures.png") as sheet:
        assert sheet.width > 4 * 200
    rows = json.loads(CliRunner().invoke(main, [*words, "--num-images", "1", "--json"]).stdout)
    assert {row["metric"]: row["first"] for row in rows} == pytest.approx(
        table["first"].to_dict(), abs=1e-6
    )
