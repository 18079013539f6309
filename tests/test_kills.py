"""The harness of checks/kills.py, shortened: stages killed at random moments end with the same bytes."""

import os
import random
import signal
import time

import pytest

from kills import Harness, plan, table

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
    assert kill.went_on
    assert kill.different == ()


def test_a_finished_training_is_not_lost_when_dvc_dies_before_it_has_the_model(harness):
    kill = harness.kill("train", "kill -9", random.Random(0), finished=True)
    assert kill.went_on
    assert kill.different == ()
    # Now DVC has the model: whoever trains with --force gets a new training, though evaluate hasn't run since.
    assert list(harness.clone.path.glob(".backup/*/finished"))
    assert "Going on after" not in harness.clone.run("dvc", "repro", "--force", "--single-item", "train")


def test_in_the_end_all_is_as_if_nothing_had_happened(harness):
    assert harness.finish() == []


def test_a_plan_has_every_stage_and_every_way():
    chosen = plan(40, ["download", "preprocess", "train", "evaluate", "render"], random.Random(0))
    assert len(chosen) == 40
    assert len({stage for stage, _ in chosen}) == 5
    assert len({way for _, way in chosen}) == 6
    assert all(len({way for s, way in chosen if s == stage}) >= 4 for stage, _ in chosen)


def test_the_table_counts(harness):
    kill = harness.kill("download", "SIGTERM", random.Random(1))
    assert "| download | 1 |" in table([kill])


def test_a_killed_temporary_experiment_goes_on_and_another_one_begins_anew(harness):
    clone = harness.clone
    command = ["dvc", "exp", "run", "--temp", "--set-param", "train.epochs=5"]
    process = clone.start(*command)
    while process.poll() is None and len(list(clone.path.glob(".backup/*/*.checkpoint"))) < 2:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    other = clone.run("dvc", "exp", "run", "--temp", "--set-param", "train.epochs=4")
    assert "Going on after" not in other
    assert "Going on after" in clone.run(*command)
