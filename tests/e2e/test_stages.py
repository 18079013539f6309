"""The seven scripts in stages/, run in this process: on a user's folder, and with what is missing or busy."""

import json

import numpy as np
import pandas as pd
import pytest
import yaml

import petseg
from petseg.core.locks import exclusive_lock
from petseg.exporting.exported import FILE_NAMES
from support.datasets import draw_masks_folder
from support.predictors import noise_photo
from support.project import with_values
from support.robustness import matches
from support.stages import STAGES, run_stage

SECTION = "Archives and environment"
CASES = {
    "a missing out of the previous stage": "… is missing or damaged; restore it with dvc checkout --force, or recreate it with dvc repro --force ….",
    "two stages at once": "Another process is running a stage in this folder; wait until it has finished, or stop it.",
}  # fmt: skip


def write_params(params, folder, **values):
    keys = {key.replace("__", "."): value for key, value in values.items()}
    raw = with_values(params.model_dump(mode="json"), keys)
    (folder / "params.yaml").write_text(yaml.safe_dump(raw))


def files_in(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_all_stages_work_on_a_user_folder_with_two_classes(tiny_params, small_encoder, tmp_path):
    """Square images are padded to a wide input; scores, files and predictions are theirs alone."""
    write_params(
        tiny_params,
        tmp_path,
        dataset__name="folder",
        dataset__folder__path=str(draw_masks_folder(tmp_path / "mine")),
        dataset__folder__classes=["background", "animal"],
        dataset__folder__test_fraction=0.5,
        preprocess__val_fraction=0.5,
        preprocess__image_size=[32, 64],
        preprocess__resize="letterbox",
        train__batch_size=1,
        train__epochs=1,
        evaluate__resolution="original",
        export__formats=list(FILE_NAMES),
    )
    for stage in STAGES:
        assert run_stage(stage, tmp_path) is None, stage
    metrics = json.loads((tmp_path / "metrics" / "test.json").read_text())
    assert list(metrics["iou"]) == ["background", "animal"]
    page = (tmp_path / "reports" / "index.html").read_text()
    assert "(background, animal) at 64 x 32 pixels (letterbox)" in page
    assert "6 of 6 images don&#39;t have the network&#39;s shape: they are padded" in page
    pixels = pd.read_csv(tmp_path / "plots" / "confusion.csv")["pixels"].sum()
    num_images = len(pd.read_csv(tmp_path / "reports" / "per_image.csv"))
    assert 0.5 < pixels / (num_images * 40 * 40) < 1  # without the ignored ones
    photo = noise_photo(30, 90)
    predictors = [
        petseg.load(tmp_path / "models" / name)
        for name in ("unet", *(f"exported/{name}" for name in FILE_NAMES.values()))
    ]
    network, *exported = (
        predictor.predict(photo).network_probabilities for predictor in predictors
    )
    assert network.shape == (21, 64, 2)
    for name, probabilities in zip(FILE_NAMES, exported, strict=True):
        error = np.abs(probabilities - network).mean()
        assert error < (0.1 if name == "litert_int8" else 1e-3), name


@pytest.mark.parametrize("stage", STAGES[1:])
def test_a_missing_out_of_the_previous_stage_is_reported(tiny_params, tmp_path, stage):
    write_params(tiny_params, tmp_path)
    message = run_stage(stage, tmp_path)
    assert matches(CASES["a missing out of the previous stage"], message, tmp_path), message
    assert files_in(tmp_path) == [".cache/workspace.lock", "params.yaml"]


def test_a_second_stage_in_the_same_folder_is_refused(tiny_params, tmp_path):
    write_params(tiny_params, tmp_path)
    with exclusive_lock(tmp_path / ".cache" / "workspace.lock", "running a stage in this folder"):
        message = run_stage("download", tmp_path)
    assert matches(CASES["two stages at once"], message, tmp_path)
    assert not (tmp_path / "data").exists()
    assert run_stage("download", tmp_path) is None


def test_an_invalid_parameter_ends_a_stage_with_its_message(tiny_params, tmp_path):
    write_params(tiny_params, tmp_path, train__epochs=0)
    message = run_stage("train", tmp_path)
    assert (
        message == "params.yaml: train.epochs is 0, but must be a whole number from 1 to 1000000."
    )
    assert files_in(tmp_path) == ["params.yaml"]


def test_a_full_disk_ends_a_stage_with_one_message_and_nothing_half_written(tiny_params, disk):
    path, remount = disk
    write_params(tiny_params, path)
    (path / "ballast").write_bytes(bytes(40 * 1024))
    message = run_stage("download", path)
    assert message.startswith("The disk is full")
    assert "\n" not in message
    assert not (path / "data" / "raw").exists()
    remount("size=64m")
    assert run_stage("download", path) is None
