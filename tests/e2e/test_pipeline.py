"""Whole stages in a temporary clone, run as a user runs them."""

import hashlib
import json
import shutil
import time

import pytest
import yaml

from support.clones import Clone, hashes_of, make_clone, outs_of, stages_of
from support.datasets import draw_masks_folder
from support.s3_server import BUCKET, s3_server

pytestmark = pytest.mark.pipeline


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A clone in which `dvc repro` has run once on tiny parameters, its results committed."""
    clone = make_clone(tmp_path_factory.mktemp("clone") / "petseg")
    clone.first_run = clone.run("dvc", "repro")
    clone.commit("first run")
    return clone


def params_of(clone):
    return yaml.safe_load((clone.path / "params.yaml").read_text())


def test_repro_makes_every_out_without_a_warning(clone):
    for out in (
        "data/raw/dataset.json",
        "data/tfrecords/manifest.json",
        "models/unet/model.weights.h5",
        "models/unet/model.json",
        "metrics/train.json",
        "metrics/val.json",
        "metrics/test.json",
        "reports/scores.csv",
        "reports/per_image.csv",
        "reports/per_category.csv",
        "reports/per_supercategory.csv",
        "plots/history.csv",
        "plots/confusion.csv",
        "plots/examples.png",
        "plots/curves.png",
        "models/exported/exported.json",
        "models/exported/unet_float32.tflite",
        "metrics/export.json",
        "reports/index.html",
        "reports/MODEL_CARD.md",
    ):
        assert (clone.path / out).stat().st_size > 0, out
    metrics = json.loads((clone.path / "metrics" / "test.json").read_text())
    assert list(metrics) == [
        "mean_iou", "iou", "pixel_accuracy", "mean_dice", "frequency_weighted_iou", "mean_boundary_iou",
        "foreground_iou", "foreground_iou_per_image", "mean_iou_ci95",
    ]  # fmt: skip
    assert "epoch 2/2" in clone.first_run
    assert "Warning" not in clone.first_run
    assert "oneDNN" not in clone.first_run


def test_a_colleague_gets_everything_from_a_bucket_and_trains_nothing(clone, tmp_path):
    with s3_server() as environment:
        clone.run("dvc", "remote", "add", "--default", "storage", f"s3://{BUCKET}/cache")
        clone.commit("remote")
        clone.run("dvc", "push", env=environment)
        clone.run("git", "clone", "--quiet", ".", str(tmp_path / "second"))
        second = Clone(tmp_path / "second")
        output = second.run("dvc", "repro", "--pull", env=environment)
        assert "Running stage" not in output
        assert second.run("git", "status", "--porcelain") == ""
        outs = [out for stage in stages_of(clone.path).values() for out in outs_of(stage)]
        assert hashes_of(second.path, outs) == hashes_of(clone.path, outs)

        wrong = {**environment, "AWS_ENDPOINT_URL": "http://127.0.0.1:9"}
        shutil.rmtree(second.path / ".dvc" / "cache")
        shutil.rmtree(second.path / "models")
        assert 'Could not connect to the endpoint URL: "http://127.0.0.1:9' in second.run(
            "dvc", "pull", "models/unet", ok=False, env=wrong
        )
        nobody = {
            key: "" if key.startswith("AWS_") and "KEY" in key else value
            for key, value in environment.items()
        }
        nobody |= {"AWS_EC2_METADATA_DISABLED": "true"}
        assert "Unable to locate credentials" in second.run(
            "dvc", "pull", "models/unet", ok=False, env=nobody
        )
        second.run("dvc", "pull", "models/unet", env=environment)


def test_the_report_is_of_this_run(clone):
    metrics = json.loads((clone.path / "metrics" / "test.json").read_text())
    page, card = (
        (clone.path / "reports" / name).read_text() for name in ("index.html", "MODEL_CARD.md")
    )
    for text in (page, card):
        assert f"{metrics['mean_iou']:.4f}" in text
        assert (
            f"{metrics['mean_iou_ci95']['low']:.4f}–{metrics['mean_iou_ci95']['high']:.4f}" in text
        )
        assert (
            hashlib.sha256((clone.path / "models/unet/model.weights.h5").read_bytes()).hexdigest()
            in text
        )
    breeds = (clone.path / "reports" / "per_category.csv").read_text().splitlines()[1:]
    assert page.count('<th scope="row">breed_') == len(breeds) > 1
    assert page.count("<figure>") == 3 * params_of(clone)["report"]["pictures"] + 1


def test_git_is_clean_after_a_committed_run_and_a_second_run_does_nothing(clone):
    assert "Data and pipelines are up to date." in clone.run("dvc", "repro")
    assert clone.run("git", "status", "--porcelain") == ""
    assert [path.name for path in (clone.path / ".backup").iterdir() if path.is_dir()] == []


def test_going_back_to_old_parameters_trains_nothing(clone):
    lock = (clone.path / "dvc.lock").read_bytes()
    clone.set_params(train__learning_rate=0.001, train__epochs=1)
    assert "epoch 1/1" in clone.run("dvc", "repro")
    clone.run("git", "checkout", "--quiet", "params.yaml")
    output = clone.run("dvc", "repro")
    assert "Stage 'train' is cached - skipping run" in output
    assert "epoch" not in output
    assert (clone.path / "dvc.lock").read_bytes() == lock
    assert clone.run("git", "status", "--porcelain") == ""


def test_an_experiment_changes_parameters_and_is_compared(clone):
    clone.run(
        "dvc",
        "exp",
        "run",
        "--name",
        "slow",
        "--set-param",
        "train.learning_rate=1e-05",
        "-S",
        "train.epochs=1",
    )
    assert (
        params_of(clone)["train"]["learning_rate"] == "1e-05"
    )  # what DVC writes, and PyYAML takes for text
    difference = clone.run("dvc", "metrics", "diff")
    assert "mean_iou" in difference
    assert "val_mean_iou" in difference
    table = clone.run("dvc", "exp", "show", "--only-changed", "--csv")
    assert "slow" in table
    clone.run("dvc", "plots", "diff", "HEAD", "--out", "dvc_plots")
    assert (clone.path / "dvc_plots" / "index.html").is_file()
    clone.run("git", "checkout", "--quiet", ".")
    clone.run("dvc", "checkout", "--quiet")


def test_temporary_and_queued_experiments_run_their_own_code(clone):
    charts = clone.path / "src" / "petseg" / "rendering" / "charts.py"
    original = charts.read_text()
    charts.write_text(original + '\nprint("THE CHANGED MODULE")\n')
    output = clone.run("dvc", "exp", "run", "--temp", "--name", "temporary")
    assert "THE CHANGED MODULE" in output
    assert "Stage 'train' didn't change, skipping" in output or "Stage 'train' is cached" in output
    clone.run("dvc", "exp", "run", "--queue", "--name", "queued", "-S", "render.examples=1")
    charts.write_text(original)
    clone.run("dvc", "exp", "run", "--run-all")
    assert "THE CHANGED MODULE" in clone.run("dvc", "queue", "logs", "queued")
    names = clone.run("dvc", "exp", "list", "--name-only")
    assert "temporary" in names
    assert "queued" in names


def test_a_mistake_in_the_parameters_is_one_sentence(clone):
    clone.set_params(train__epochs=0)
    output = clone.run("dvc", "repro", ok=False)
    assert "params.yaml: train.epochs is 0, but must be a whole number from 1 to 1000000." in output
    assert "Traceback" not in output
    clone.run("git", "checkout", "--quiet", "params.yaml")


def test_a_folder_of_one_s_own_goes_through_and_its_changes_are_seen(clone, tmp_path):
    root = draw_masks_folder(tmp_path / "mine")
    clone.set_params(
        dataset__name="folder",
        dataset__folder__path=str(root),
        dataset__folder__classes=["background", "animal"],
        dataset__folder__test_fraction=0.5,
        preprocess__val_fraction=0.5,
        train__batch_size=1,
        train__epochs=1,
    )
    clone.run("dvc", "repro")
    metrics = json.loads((clone.path / "metrics" / "test.json").read_text())
    assert list(metrics["iou"]) == ["background", "animal"]
    assert "up to date" in clone.run("dvc", "repro")
    (root / "images" / "pug" / "4.png").unlink()
    assert "Running stage 'download'" in clone.run("dvc", "repro", "download")
    clone.run("git", "checkout", "--quiet", ".")
    clone.run("dvc", "checkout", "--quiet")


def lock_of(clone):
    return (clone.path / "dvc.lock").read_bytes()


def test_a_lost_cache_and_lost_outs_are_made_anew_with_the_same_bytes(clone):
    before = lock_of(clone)
    shutil.rmtree(clone.path / ".dvc" / "cache")
    shutil.rmtree(clone.path / "data" / "tfrecords")
    clone.run("dvc", "repro", "preprocess")
    assert lock_of(clone) == before
    clone.run("dvc", "repro")
    assert lock_of(clone) == before
    assert clone.run("git", "status", "--porcelain") == ""


def test_a_corrupted_file_in_the_cache_is_noticed_and_made_anew(clone):
    before = lock_of(clone)
    outs = yaml.safe_load(before)["stages"]["evaluate"]["outs"]
    digest = next(out["md5"] for out in outs if out["path"] == "reports/per_image.csv")
    cached = clone.path / ".dvc" / "cache" / "files" / "md5" / digest[:2] / digest[2:]
    good = cached.read_bytes()
    cached.chmod(0o644)
    cached.write_bytes(good + b"broken")
    (clone.path / "reports" / "per_image.csv").unlink()
    clone.run("dvc", "repro")
    assert (clone.path / "reports" / "per_image.csv").read_bytes() == good
    assert lock_of(clone) == before


def test_a_torn_dvc_lock_is_named_and_git_brings_it_back(clone):
    before = lock_of(clone)
    (clone.path / "dvc.lock").write_bytes(before[:300] + b"\n  - : [")
    output = clone.run("dvc", "repro", ok=False)
    assert "dvc.lock' is invalid" in output
    assert "Running stage" not in output
    clone.run("git", "checkout", "--quiet", "dvc.lock")
    assert "Data and pipelines are up to date." in clone.run("dvc", "repro")


def test_of_two_runs_at_once_the_second_is_told_and_the_first_goes_on(clone):
    first = clone.start("dvc", "repro", "--force", "--single-item", "render")
    rwlock = clone.path / ".dvc" / "tmp" / "rwlock"
    while first.poll() is None and not (rwlock.is_file() and "plots" in rwlock.read_text()):
        time.sleep(0.05)
    output = clone.run("dvc", "repro", "--force", "--single-item", "render", ok=False)
    assert "is busy, it is being blocked by" in output
    first.communicate()
    assert first.returncode == 0
    assert clone.run("git", "status", "--porcelain") == ""


def test_without_determinism_the_run_says_so_and_starts_from_the_same_seed(clone):
    told = []
    for deterministic in (True, False):
        clone.set_params(train__deterministic=deterministic, train__epochs=1)
        clone.run("dvc", "repro", "train")
        told.append(json.loads((clone.path / "metrics" / "train.json").read_text()))
    assert [metrics["bit_exact"] for metrics in told] == [True, False]
    assert told[0]["train_loss"] == pytest.approx(
        told[1]["train_loss"], rel=1e-3
    )  # same weights, order, augmentation
    clone.run("git", "checkout", "--quiet", ".")
    clone.run("dvc", "checkout", "--quiet")


def test_a_disk_that_is_full_when_dvc_stores_the_model_costs_no_training_and_no_earlier_result(
    clone, disk
):
    path, remount = disk
    remount("size=64m")
    clone.run("dvc", "config", "--local", "cache.dir", str(path / "cache"))
    try:
        clone.run("dvc", "repro", "evaluate")
        before = (clone.path / "models" / "unet" / "model.weights.h5").read_bytes()
        clone.set_params(train__learning_rate=0.002, train__epochs=1)
        (path / "ballast").write_bytes(bytes(shutil.disk_usage(path).free - 200_000))
        output, _ = clone.start("dvc", "repro", "evaluate").communicate()
        assert "epoch 1/1" in output
        assert "No space left on device" in output
        assert "Running stage 'evaluate'" in output  # DVC goes on as if it had stored the model
        trained = (clone.path / "models" / "unet" / "model.weights.h5").read_bytes()
        (path / "ballast").unlink()
        shutil.rmtree(clone.path / "models" / "unet")
        assert "Going on after 1 epochs of 1." in clone.run("dvc", "repro", "train")
        assert (clone.path / "models" / "unet" / "model.weights.h5").read_bytes() == trained
        clone.run("git", "checkout", "--quiet", ".")
        clone.run("dvc", "checkout", "--quiet", "--force", "train")
        assert (clone.path / "models" / "unet" / "model.weights.h5").read_bytes() == before
    finally:
        clone.run("git", "checkout", "--quiet", ".")
        clone.run("dvc", "config", "--local", "--unset", "cache.dir")
        clone.run("dvc", "checkout", "--quiet", "--force")
