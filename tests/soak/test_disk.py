"""A disk that is full when DVC stores the model, and training without determinism: on the real pipeline."""

import json
import shutil

import pytest

from support.clones import make_clone

SECTION = "Archives and environment"
CASES = {
    "full disk while DVC stores a model": "DVC prints \"ERROR: failed to transfer ... No space left on device\"; then DVC 3.67 continues as if it had stored the model. The finished training is kept until the model is in the cache, so dvc repro doesn't train again.",
}  # fmt: skip


@pytest.fixture
def clone(tmp_path):
    clone = make_clone(tmp_path / "petseg")
    clone.run("dvc", "repro", "preprocess")
    return clone


def test_a_full_disk_while_dvc_caches_the_model_loses_no_training_and_no_earlier_result(
    clone, disk
):
    path, remount = disk
    remount("size=64m")
    clone.run("dvc", "config", "--local", "cache.dir", str(path / "cache"))
    clone.run("dvc", "repro", "evaluate")
    clone.commit("first run")
    weights = clone.path / "models" / "unet" / "model.weights.h5"
    before = weights.read_bytes()
    clone.set_params(train__learning_rate=0.002, train__epochs=1)
    (path / "ballast").write_bytes(bytes(shutil.disk_usage(path).free - 200_000))
    output, _ = clone.start("dvc", "repro", "evaluate").communicate()
    assert "epoch 1/1" in output
    assert "No space left on device" in output
    assert "Running stage 'evaluate'" in output  # DVC continues as if it had stored the model
    trained = weights.read_bytes()
    (path / "ballast").unlink()
    shutil.rmtree(weights.parent)
    assert "Resuming after epoch 1 of 1" in clone.run("dvc", "repro", "train")
    assert weights.read_bytes() == trained
    clone.run("git", "checkout", "--quiet", ".")
    clone.run("dvc", "checkout", "--quiet", "--force", "train")
    assert weights.read_bytes() == before


def test_without_determinism_the_metrics_say_so_and_the_seed_is_the_same(clone):
    metrics = []
    for deterministic in (True, False):
        clone.set_params(train__deterministic=deterministic, train__epochs=1)
        clone.run("dvc", "repro", "train")
        metrics.append(json.loads((clone.path / "metrics" / "train.json").read_text()))
    assert [one["deterministic"] for one in metrics] == [True, False]
    # The same weights, order and augmentation:
    assert metrics[0]["train_loss"] == pytest.approx(metrics[1]["train_loss"], rel=1e-3)
