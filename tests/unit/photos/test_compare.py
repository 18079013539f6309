"""`petseg compare`: two models on the same images."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from PIL import Image

from petseg.cli import main
from petseg.core.errors import PetsegError
from petseg.core.geometry import ImageSize
from petseg.evaluation.evaluate import score_split
from petseg.evaluation.per_image import compute_metrics
from petseg.model.saved import load_model, save_model
from petseg.photos import compare
from petseg.photos.compare import compare_models
from petseg.prediction.predict import predict_split
from petseg.prediction.tta import NO_TTA
from petseg.shards.manifest import read_manifest
from support.encoders import small_encoder
from support.models import build_decided_network

DIRECTORIES = ("baseline", "candidate")


@pytest.fixture(scope="module")
def models(evaluated_run, tmp_path_factory):
    """Two models that differ, by directory name, and the directories."""
    folder = tmp_path_factory.mktemp("models")
    with small_encoder():
        baseline = load_model(evaluated_run.model)
        network = build_decided_network()
        for variable in network.trainable_variables:
            variable.assign(variable * 0.9 + 0.02)
        saved = dict(zip(DIRECTORIES, (baseline, replace(baseline, network=network)), strict=True))
        for name, model in saved.items():
            save_model(model, folder / name)
    return {folder / name: model for name, model in saved.items()}


@pytest.fixture
def loaded(models, monkeypatch):
    """Models that are loaded already, so that their networks are traced only once."""
    monkeypatch.setattr(compare, "load_model", models.__getitem__)
    return models


def run(models, shards, split="test", num_images=2):
    return compare_models(*models, shards, split, batch_size=3, tta=NO_TTA, num_images=num_images)


def test_the_metrics_of_both_models_match_evaluate(loaded, tiny_params, tiny_shards):
    comparison = run(loaded, tiny_shards)
    table = comparison.table.set_index("metric")
    assert comparison.num_images == 8
    manifest = read_manifest(tiny_shards)
    for column, saved in zip(DIRECTORIES, loaded.values(), strict=True):
        _, counts = score_split(tiny_params.evaluate, saved, tiny_shards, manifest, "test")
        expected = {".".join(name): float(value) for name, value in compute_metrics(counts).items()}
        assert table[column].to_dict() == pytest.approx(expected, abs=1e-6, nan_ok=True)
    row = table.loc["mean_iou"]
    assert row["difference"] == pytest.approx(row["candidate"] - row["baseline"], abs=2e-6)
    assert row["ci95_lower"] < row["difference"] < row["ci95_upper"]


def test_the_images_that_differ_most_come_first(loaded, tiny_shards, monkeypatch):
    captions = []
    monkeypatch.setattr(
        compare,
        "draw_image_grid",
        lambda titles, rows, legend: captions.extend(row.caption for row in rows),
    )
    run(loaded, tiny_shards, num_images=3)
    manifest = read_manifest(tiny_shards)
    predictions = [
        predict_split(saved, tiny_shards, manifest, "test", 8) for saved in loaded.values()
    ]
    differences = {
        a.file_name: np.mean(a.predicted != b.predicted) for a, b in zip(*predictions, strict=True)
    }
    most_first = sorted(differences, key=differences.get, reverse=True)
    assert [caption.split()[0] for caption in captions] == most_first[:3]
    assert captions[0].endswith(f"different pixels {max(differences.values()):.1%}")


def test_a_copy_of_a_model_is_no_better(loaded, tiny_shards, tmp_path, monkeypatch):
    baseline, saved = next(iter(loaded.items()))
    monkeypatch.setattr(compare, "load_model", lambda directory: saved)
    shutil.copytree(baseline, tmp_path / "copy")
    table = run([baseline, tmp_path / "copy"], tiny_shards).table.set_index("metric")
    metrics = ["mean_iou", "pixel_accuracy", "iou.background", "foreground_iou_per_image"]
    rows = table.loc[metrics, ["difference", "ci95_lower", "ci95_upper"]]
    assert (rows == 0).all(axis=None)


def test_a_model_is_not_compared_with_itself(loaded, tiny_shards):
    baseline = next(iter(loaded))
    with pytest.raises(PetsegError, match="are the same model; choose two different models"):
        run([baseline, baseline.parent / "x" / ".." / "baseline"], tiny_shards)


def test_a_model_that_may_have_seen_the_test_images_is_refused(loaded, tiny_shards, monkeypatch):
    (baseline, saved), (candidate, other) = loaded.items()
    seen = replace(saved, origin=saved.origin.model_copy(update={"test_sha256": "0" * 64}))
    monkeypatch.setattr(compare, "load_model", {baseline: seen, candidate: other}.__getitem__)
    with pytest.raises(PetsegError, match="baseline was trained when the test split was another"):
        run(loaded, tiny_shards, "test")


def test_a_model_whose_test_images_are_not_known_is_compared_and_this_is_said(
    loaded, tiny_shards, monkeypatch, capsys
):
    (baseline, saved), (candidate, other) = loaded.items()
    checksum = read_manifest(tiny_shards).checksum("test")
    unknown, known = (
        replace(model, origin=model.origin.model_copy(update={"test_sha256": test_sha256}))
        for model, test_sha256 in ((saved, None), (other, checksum))
    )
    monkeypatch.setattr(compare, "load_model", {baseline: unknown, candidate: known}.__getitem__)
    run(loaded, tiny_shards, "test")
    said = capsys.readouterr().err
    assert said.count("may have seen these images: its model.json doesn't say which test") == 1
    assert str(baseline) in said


@pytest.mark.parametrize(
    ("name", "found"), [("nope", "doesn't exist"), (".", "is not a folder with a trained model")]
)
def test_what_is_no_model_is_said(models, tiny_shards, name, found):
    folder = next(iter(models)).parent / name
    with pytest.raises(PetsegError, match=f"{folder} {found}; choose folders such as models/unet"):
        run([next(iter(models)), folder], tiny_shards)


def test_a_model_with_another_validation_split_is_compared_only_on_test(
    loaded, tiny_shards, monkeypatch
):
    checksum = read_manifest(tiny_shards).checksum("val")
    (baseline, saved), (candidate, other) = loaded.items()
    same = replace(saved, origin=saved.origin.model_copy(update={"val_sha256": checksum}))
    models = {baseline: same, candidate: other}
    monkeypatch.setattr(compare, "load_model", models.__getitem__)
    with pytest.raises(
        PetsegError,
        match=r"candidate was trained with another validation split.*compare on --split test",
    ):
        run(loaded, tiny_shards, "val")
    run(loaded, tiny_shards, "test")
    models[candidate] = same
    run(loaded, tiny_shards, "val")


def test_a_model_for_another_image_size_is_rejected(loaded, tiny_shards, monkeypatch):
    saved = next(iter(loaded.values()))
    monkeypatch.setattr(
        compare, "load_model", lambda directory: replace(saved, image_size=ImageSize(64, 32))
    )
    with pytest.raises(
        PetsegError,
        match=r"was trained for .* at 32x64 px, but the shards hold .* at 32 px; compare models",
    ):
        run(loaded, tiny_shards)


def test_the_command_writes_a_table_and_the_images(models, small_encoder, tiny_shards, tmp_path):
    words = ["compare", *models, "--shards", tiny_shards, "--split", "test", "--out", tmp_path]

    def invoke(*options):
        return CliRunner().invoke(main, [str(word) for word in (*words, *options)])

    done = invoke("--num-images", 2)
    assert done.exit_code == 0, done.output
    table = pd.read_csv(tmp_path / "metrics.csv").set_index("metric")
    printed = dict(line.split(maxsplit=1) for line in done.stdout.splitlines()[1:-1])
    expected = [f"{table.loc['mean_iou', name]:.4f}" for name in DIRECTORIES]
    assert printed["mean_iou"].split()[:2] == expected
    assert " of the test split at the model's size (" in done.stdout.splitlines()[-1]
    with Image.open(tmp_path / "images.png") as grid:
        assert grid.width > 4 * 200
    rows = json.loads(invoke("--num-images", 1, "--json").stdout)  # replaces its own files
    found = {row["metric"]: row["baseline"] for row in rows}
    assert found == pytest.approx(table["baseline"].to_dict(), abs=1e-6)


@pytest.mark.parametrize("name", ["metrics.csv", "images.png"])
def test_files_of_the_user_are_not_replaced(tmp_path, name):
    (tmp_path / name).write_text("mine")
    done = CliRunner().invoke(main, ["compare", "a", "b", "--out", str(tmp_path)])
    assert done.exit_code == 1
    assert (
        f"{tmp_path}/{name} was not written by petseg, or was edited since; use another --out"
        in done.output
    )
