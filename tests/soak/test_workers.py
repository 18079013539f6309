"""Several workers: fifty steps of two and four, lost workers, different parameters."""

import subprocess
import sys

import pytest

from support.project import ROOT
from support.workers import lose_worker, losses_of, make_shards, start_workers

SETTINGS = {
    "train__epochs": 3,
    "train__warmup_epochs": 1,
    "train__checkpoint_every_steps": 2,
    "model__decoder_filters": (8, 8),
}


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return make_shards(tmp_path_factory.mktemp("workers"), 2)


def test_several_workers_have_the_same_losses_as_one():
    subprocess.run([sys.executable, "tests/soak/workers.py"], cwd=ROOT, check=True)


def test_restarting_all_workers_after_a_loss_gives_the_same_bytes(tmp_path, shards):
    whole, _ = losses_of(start_workers(tmp_path / "whole", shards, 2, **SETTINGS))
    for rank in (1, 0):
        assert "One of the 2 workers was lost" in lose_worker(
            rank, tmp_path / "cut", shards, **SETTINGS
        )
    resumed, _ = losses_of(start_workers(tmp_path / "cut", shards, 2, **SETTINGS))
    assert 0 < len(resumed) < len(whole)
    assert resumed == whole[-len(resumed) :]
    weights = [
        (tmp_path / name / "worker0/models/unet/model.weights.h5").read_bytes()
        for name in ("whole", "cut")
    ]
    assert weights[0] == weights[1]


def test_workers_whose_patience_is_over_stop_together(tmp_path, shards):
    rates = {"train__learning_rate": 1e-9, "train__encoder_learning_rate": 1e-9}  # no progress
    settings = SETTINGS | rates | {"train__epochs": 20, "train__patience": 1}
    first, second = losses_of(start_workers(tmp_path, shards, 2, **settings))
    assert first == second
    assert 2 * (3 + 2) <= len(first) < 20 * (3 + 2)


def test_workers_with_different_parameters_refuse_to_train_together(tmp_path, shards):
    rates = [0.001, 0.002]
    processes = start_workers(tmp_path, shards, 2, **SETTINGS, train__learning_rate=rates)
    errors = [process.communicate(timeout=1200)[1] for process in processes]
    assert "Worker 2 of 2 has different parameters, data, code or environment" in errors[1]
    assert [process.returncode for process in processes] == [1, 1]


def test_workers_do_not_wait_forever_for_one_that_is_stuck(tmp_path, shards):
    processes = start_workers(tmp_path, shards, 2, timeout="60", stuck=[1], **SETTINGS)
    waiting, stuck = processes
    try:
        _, stderr = waiting.communicate(timeout=1200)
        assert stuck.poll() is None
    finally:
        stuck.kill()
    assert waiting.returncode == 1, stderr
    assert "One of the 2 workers was lost" in stderr
    assert "restart all of them" in stderr
