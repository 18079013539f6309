"""Stages killed at random moments end with the same bytes, and so do experiments and sweeps."""

import os
import random
import re
import shutil
import signal
import time
from contextlib import suppress

import pandas as pd
import psutil
import pytest
import yaml

from kills import EPOCHS, plan, run_kills, run_undisturbed, table
from support.kills import STEPS


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    return run_undisturbed(tmp_path_factory.mktemp("kills") / "petseg")


@pytest.fixture(scope="module")
def harness(undisturbed):
    return undisturbed[0]


def test_forty_kills_change_no_bytes_and_lose_no_steps(undisturbed):
    harness, seconds = undisturbed
    assert run_kills(harness, seconds, kills=40, seed=0) == []


def test_a_finished_training_run_survives_if_dvc_dies_before_caching_the_model(harness):
    kill = harness.kill("train", "kill -9", random.Random(0), harness.finished)
    assert kill.resumed_after == kill.steps_kept == EPOCHS * STEPS
    assert kill.different == ()
    # Now DVC has the model: --force trains again, though evaluate hasn't run since.
    assert list(harness.clone.path.glob(".backup/*/finished"))
    command = ("dvc", "repro", "--force", "--single-item", "train")
    assert "Resuming after" not in harness.clone.run(*command)


def test_a_plan_covers_every_stage_and_every_kind_of_kill(harness):
    chosen = plan(40, list(harness.stages), random.Random(0))
    assert len(chosen) == 40
    assert len({stage for stage, _ in chosen}) == 7
    assert len({way for _, way in chosen}) == 6
    assert all(len({way for s, way in chosen if s == stage}) >= 4 for stage, _ in chosen)


def test_the_table_counts(undisturbed):
    harness, seconds = undisturbed
    due = harness.at(seconds["download"] / 2)
    kill = harness.kill("download", "SIGTERM", random.Random(1), due)
    assert kill.different == ()
    assert "| download | 1 |" in table([kill])


def test_a_changed_byte_and_a_missing_file_are_detected(harness):
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
    """Return what an experiment's dvc.lock says of the trained model."""
    refs = clone.run("git", "for-each-ref", "--format=%(refname)", "refs/exps").split()
    ref = next(ref for ref in refs if ref.endswith(f"/{experiment}"))
    return yaml.safe_load(clone.run("git", "show", f"{ref}:dvc.lock"))["stages"]["train"]["outs"]


def test_a_killed_temporary_experiment_resumes(harness):
    clone, old = harness.clone, checkpoints(harness.clone)
    command = ["dvc", "exp", "run", "--temp", "evaluate", "--set-param", "train.epochs=4"]
    process = clone.start(*command)
    while process.poll() is None and len(checkpoints(clone) - old) < 2:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert "Resuming after" in clone.run(*command, "--name", "resumed")
    shutil.rmtree(clone.path / ".backup")  # or the training would resume at its end
    whole = clone.run(*command, "--name", "whole", "--force")
    assert "epoch 1/4" in whole
    assert "Resuming after" not in whole
    assert model_of(clone, "resumed") == model_of(clone, "whole")


def is_training(process, clone):
    try:
        parent = process.parent()
        if parent and "stages/train.py" in parent.cmdline():
            return False  # a fork of a training, about to run something else
        return "stages/train.py" in process.cmdline() and str(clone.path) in process.cwd()
    except psutil.Error:  # it has just ended
        return False


def all_trainings(clone):
    return [process for process in psutil.process_iter() if is_training(process, clone)]


def test_a_sweep_runs_on_its_gpus_and_resumes_after_a_kill(harness):
    clone, old, gpus = harness.clone, checkpoints(harness.clone), {}
    command = ["petseg", "sweep", "-S", "train.epochs=40,41", "--jobs", "2"]
    environment = {"CUDA_VISIBLE_DEVICES": "3,5", "PYTHONPATH": "src"}
    process = clone.start(*command, env=environment)

    def both_have_checkpoints():
        for training in all_trainings(clone):
            with suppress(psutil.Error):
                gpus[training] = training.environ()["CUDA_VISIBLE_DEVICES"]
        return len({path.parent for path in checkpoints(clone) - old}) == 2

    while not both_have_checkpoints():
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    max(gpus, key=lambda training: training.create_time()).kill()  # the other one may have ended
    printed, _ = process.communicate()
    assert sorted(gpus.values()) == ["3", "5"]
    assert "2 experiments, 2 to run." in printed
    assert process.returncode == 1, printed
    failed = re.search(r"(\S+): failed\. See dvc queue logs", printed)[1]

    again = clone.run(*command, env=environment)
    assert "2 experiments, 1 to run." in again
    resumed = re.search(r"^  (\S+): success$", again, re.MULTILINE)[1]
    assert resumed != failed
    assert "Resuming after" in clone.run("dvc", "queue", "logs", resumed)
    experiments = pd.read_csv(clone.path / "sweep" / "experiments.csv")
    assert set(experiments["train.epochs"]) == {40, 41}
    assert set(experiments["state"]) == {"success"}
    assert experiments["val.mean_iou"].is_monotonic_decreasing
    assert (clone.path / "sweep" / "parallel_coordinates.png").read_bytes().startswith(b"\x89PNG")
    assert "2 experiments, 0 to run." in clone.run(*command, env=environment)
