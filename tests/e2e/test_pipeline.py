"""One real `dvc repro` of the whole pipeline on tiny parameters, and two real kills."""

import hashlib
import json
import random

import pytest
import yaml

from support.clones import Clone, copy_clone, make_clone, outs_of, stages_of
from support.kills import SETTINGS, Harness
from support.once import make_once


def run_pipeline(folder):
    clone = make_clone(folder / "petseg")
    clone.set_params(**SETTINGS)
    output = clone.run("dvc", "repro")
    clone.commit("first run")
    (folder / "printed").write_text(output)


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A clone in which `dvc repro` has run, its results committed. Copy it to change it.

    What the run printed is in the file `printed` next to it.
    """
    return Clone(make_once(tmp_path_factory, "pipeline", run_pipeline) / "petseg")


def test_repro_writes_every_out_without_a_warning(clone):
    for stage in stages_of(clone.path).values():
        for out in outs_of(stage):
            path = clone.path / out
            assert any(path.iterdir()) if path.is_dir() else path.stat().st_size > 0, out
    for name in (
        "data/tfrecords/manifest.json",
        "models/unet/model.json",
        "models/exported/unet_float32.tflite",
    ):
        assert (clone.path / name).is_file()
    metrics = json.loads((clone.path / "metrics" / "test.json").read_text())
    assert list(metrics) == [
        "mean_iou", "iou", "pixel_accuracy", "mean_dice", "frequency_weighted_iou", "mean_boundary_iou",
        "foreground_iou", "foreground_iou_per_image", "mean_iou_ci95",
    ]  # fmt: skip
    printed = (clone.path.parent / "printed").read_text()
    assert "epoch 2/2" in printed
    assert "Warning" not in printed
    assert "oneDNN" not in printed


def test_the_report_describes_this_run(clone):
    metrics = json.loads((clone.path / "metrics" / "test.json").read_text())
    weights = (clone.path / "models" / "unet" / "model.weights.h5").read_bytes()
    page = (clone.path / "reports" / "index.html").read_text()
    card = (clone.path / "reports" / "MODEL_CARD.md").read_text()
    for text in (page, card):
        assert f"{metrics['mean_iou']:.4f}" in text
        assert "{lower:.4f}–{upper:.4f}".format(**metrics["mean_iou_ci95"]) in text
        assert hashlib.sha256(weights).hexdigest() in text
    categories = (clone.path / "reports" / "per_category.csv").read_text().splitlines()[1:]
    assert page.count('<th scope="row">breed_') == len(categories) > 1
    params = yaml.safe_load((clone.path / "params.yaml").read_text())
    assert page.count("<figure>") == 3 * params["report"]["images"] + 1


def test_the_installed_command_predicts_with_the_model_and_prints_json_only(clone, tmp_path):
    words = ["plots/examples.png", "--out", str(tmp_path), "--json"]
    environment = {"PYTHONPATH": str(clone.path / "src")}
    output = clone.run("petseg", "predict", *words, env=environment)  # stderr first
    warning, _, printed = output.partition("\n")
    assert warning.startswith("models/unet was trained on synthetic pets and is wrong on photos")
    [row] = json.loads(printed)["predicted"]
    assert row["photo"] == str(clone.path / "plots/examples.png")


def test_git_is_clean_after_the_run_and_only_finished_checkpoints_are_kept(clone):
    assert clone.run("git", "status", "--porcelain") == ""
    [kept] = [path for path in (clone.path / ".backup").iterdir() if path.is_dir()]
    assert (kept / "finished").is_file()


def test_training_resumes_from_the_newest_intact_checkpoint_with_the_same_bytes(clone, tmp_path):
    """A power cut tore the newest checkpoint and the outs; the one before serves."""
    harness, rng = Harness(copy_clone(clone, tmp_path / "petseg")), random.Random(0)
    kill = harness.kill("train", "power cut", rng, harness.after_step(2, rng))
    assert 1 <= kill.steps_kept <= kill.resumed_after
    assert kill.different == ()


def test_a_stage_killed_while_it_writes_ends_with_the_same_bytes(clone, tmp_path):
    harness, rng = Harness(copy_clone(clone, tmp_path / "petseg")), random.Random(0)
    kill = harness.kill("preprocess", "kill -9", rng, harness.writing)
    while kill.ended_before:
        kill = harness.kill("preprocess", "kill -9", rng, harness.writing)
    assert kill.different == ()
    assert not list(harness.clone.path.rglob(".*.partial"))
