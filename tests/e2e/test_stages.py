"""The seven scripts in stages/, run in this process: on a user's folder, and with what is missing or busy."""

import json

import pytest
import yaml

from petseg.core.locks import exclusive_lock
from support.datasets import draw_masks_folder
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
    write_params(
        tiny_params,
        tmp_path,
        dataset__name="folder",
        dataset__folder__path=str(draw_masks_folder(tmp_path / "mine")),
        dataset__folder__classes=["background", "animal"],
        dataset__folder__test_fraction=0.5,
        preprocess__val_fraction=0.5,
        train__batch_size=1,
        train__epochs=1,
    )
    for stage in STAGES:
        assert run_stage(stage, tmp_path) is None, stage
    metrics = json.loads((tmp_path / "metrics" / "test.json").read_text())
    assert list(metrics["iou"]) == ["background", "animal"]
    assert "animal" in (tmp_path / "reports" / "index.html").read_text()


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
