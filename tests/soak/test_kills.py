"""The harness of tests/soak/kills.py, shortened: stages killed at random moments end with the same bytes."""

import os
import random
import re
import signal
import time
from contextlib import suppress

import pandas as pd
import psutil
import pytest
import yaml

from kills import EPOCHS, STEPS, Harness, plan, table

pytestmark = [pytest.mark.pipeline, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def harness(tmp_path_factory):
    return Harness(tmp_path_factory.mktemp("kills") / "petseg")


@pytest.mark.parametrize(
    ("stage", "way"),
    [
        ("download", "power cut"),
        ("preprocess", "kill -9"),
        ("evaluate", "kill -9 DVC"),
        ("render", "SIGINT"),
    ],
)
def test_a_killed_stage_ends_with_the_same_bytes(harness, stage, way):
    rng = random.Random(stage)
    kill = harness.kill(stage, way, rng)
    while kill.ended_before:
        kill = harness.kill(stage, way, rng)
    assert kill.different == ()


def test_a_training_goes_on_from_its_checkpoint_though_the_newest_is_torn(harness):
    kill = harness.kill("train", "power cut", random.Random(0), step=2)
    assert 1 <= kill.steps_kept <= kill.went_on_after
    assert kill.different == ()


def test_a_finished_training_is_not_lost_when_dvc_dies_before_it_has_the_model(harness):
    kill = harness.kill("train", "kill -9", random.Random(0), finished=True)
    assert kill.went_on_after == kill.steps_kept == EPOCHS * STEPS
    assert kill.different == ()
    # Now DVC has the model: whoever trains with --force gets a new training, though evaluate hasn't run since.
    assert list(harness.clone.path.glob(".backup/*/finished"))
    assert "Resuming after" not in harness.clone.run(
        "dvc", "repro", "--force", "--single-item", "train"
    )


def test_in_the_end_all_is_as_if_nothing_had_happened(harness):
    assert harness.finish() == []


def test_a_plan_has_every_stage_and_every_way():
    chosen = plan(
        40,
        ["download", "preprocess", "train", "evaluate", "export", "render", "report"],
        random.Random(0),
    )
    assert len(chosen) == 40
    assert len({stage for stage, _ in chosen}) == 7
    assert len({way for _, way in chosen}) == 6
    assert all(len({way for s, way in chosen if s == stage}) >= 4 for stage, _ in chosen)


def test_the_table_counts(harness):
    kill = harness.kill("download", "SIGTERM", random.Random(1))
    assert kill.different == ()
    assert "| download | 1 |" in table([kill])


def test_a_changed_byte_and_a_missing_file_are_noticed(harness):
    path = harness.clone.path / "plots" / "curves.png"
    good = path.read_bytes()
    path.unlink()  # DVC may have linked it to its cache
    assert harness.differences("render") == ["plots/curves.png"]
    path.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    assert harness.differences("render") == ["plots/curves.png"]
    path.write_bytes(good)
    assert harness.differences("render") == []


def checkpoints(clone):
    return set(clone.path.glob(".backup/*/*.checkpoint"))


def model_of(clone, experiment):
    """What an experiment's dvc.lock says of the trained model."""
    refs = clone.run("git", "for-each-ref", "--format=%(refname)", "refs/exps").split()
    ref = next(ref for ref in refs if ref.endswith(f"/{experiment}"))
    return yaml.safe_load(clone.run("git", "show", f"{ref}:dvc.lock"))["stages"]["train"]["outs"]


def test_a_killed_temporary_experiment_goes_on(harness):
    clone, old = harness.clone, checkpoints(harness.clone)
    command = ["dvc", "exp", "run", "--temp", "evaluate", "--set-param", "train.epochs=4"]
    process = clone.start(*command)
    while process.poll() is None and len(checkpoints(clone) - old) < 2:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert "Resuming after" in clone.run(*command, "--name", "resumed")
    whole = clone.run(*command, "--name", "whole", "--force")
    assert "epoch 1/4" in whole
    assert "Resuming after" not in whole
    assert model_of(clone, "resumed") == model_of(clone, "whole")


def wait_for(condition, pause=1.0, most=180):
    deadline = time.monotonic() + most
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(pause)


def is_training(process, clone):
    try:
        return "stages/train.py" in process.cmdline() and str(clone.path) in process.cwd()
    except psutil.Error:  # it has just ended
        return False


def all_trainings(clone):
    return [process for process in psutil.process_iter() if is_training(process, clone)]


def test_a_sweep_runs_on_its_gpus_and_goes_on_after_a_kill(harness):
    clone, old, gpus = harness.clone, checkpoints(harness.clone), {}
    command = ["petseg", "sweep", "-S", "train.epochs=40,41", "--jobs", "2"]
    environment = {"CUDA_VISIBLE_DEVICES": "3,5", "PYTHONPATH": "src"}
    process = clone.start(*command, env=environment)

    def both_have_checkpoints():
        for training in all_trainings(clone):
            with suppress(psutil.Error):
                gpus[training] = training.environ()["CUDA_VISIBLE_DEVICES"]
        return len({path.parent for path in checkpoints(clone) - old}) == 2

    wait_for(both_have_checkpoints, pause=0.02, most=400)
    max(gpus, key=lambda training: training.create_time()).kill()  # the other one may have ended
    told, _ = process.communicate()
    assert sorted(gpus.values()) == ["3", "5"]
    assert "2 experiments, 2 to run." in told
    assert process.returncode == 1, told
    failed = re.search(r"(\S+): failed\. See dvc queue logs", told)[1]

    again = clone.run(*command, env=environment)
    assert "2 experiments, 1 to run." in again
    resumed = re.search(r"^  (\S+): success$", again, re.MULTILINE)[1]
    assert resumed != failed
    assert "Resuming after" in clone.run("dvc", "queue", "logs", resumed)
    table = pd.read_csv(clone.path / "sweep" / "experiments.csv")
    assert set(table["train.epochs"]) == {40, 41}
    assert set(table["state"]) == {"success"}
    assert table["val.mean_iou"].is_monotonic_decreasing
    assert (clone.path / "sweep" / "parallel_coordinates.png").read_bytes().startswith(b"\x89PNG")
    assert "2 experiments, 0 to run." in clone.run(*command, env=environment)
