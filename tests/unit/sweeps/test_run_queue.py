"""Waiting for DVC's queue, with a queue that follows a script."""

import os

import pytest

from petseg.core.errors import PetsegError
from petseg.sweeps import run_queue as module
from petseg.sweeps.run_queue import run_queue


class ScriptedQueue:
    """A queue whose experiments go through given states, one per poll."""

    def __init__(self, *polls, workers_answer=True, running=()):
        self.polls = list(polls)
        self.workers_answer = workers_answer
        self.running = list(running)  # whether a process is, each time that it's asked
        self.gpus_of_workers = []

    def states(self, names):
        return self.polls.pop(0) if len(self.polls) > 1 else self.polls[0]

    def start_worker(self, number):
        self.gpus_of_workers.append(os.environ["CUDA_VISIBLE_DEVICES"])
        return True

    def num_workers(self):
        return len(self.gpus_of_workers) if self.workers_answer else 0

    def is_running(self, names):
        return bool(self.running) and self.running.pop(0)

    def has_waiting(self):
        return self.workers_answer


@pytest.fixture(autouse=True)
def two_gpus_and_no_waiting(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    monkeypatch.setattr(module, "_POLL_SECONDS", 0)


def test_each_change_of_state_is_printed_until_all_have_ended(capsys):
    queue = ScriptedQueue(
        {"a": "queued", "b": "queued"},
        {"a": "running", "b": "queued"},
        {"a": "running", "b": "queued"},
        {"a": "success", "b": "running"},
        {"a": "success", "b": "failed"},
    )
    run_queue(queue, {"a", "b"}, jobs=1)
    printed = capsys.readouterr().out.splitlines()
    assert printed == [
        "Worker 1 has GPU 3,5.",
        "  a: running",
        "  a: success",
        "  b: running",
        "  b: failed",
    ]


def test_there_are_as_many_workers_as_jobs_or_experiments_each_with_its_own_gpus():
    queue = ScriptedQueue({"a": "queued", "b": "running"}, {"a": "success", "b": "success"})
    run_queue(queue, {"a", "b"}, jobs=5)
    assert queue.gpus_of_workers == ["3", "5"]


def test_nothing_starts_if_all_experiments_have_ended():
    queue = ScriptedQueue({"a": "success"})
    run_queue(queue, {"a"}, jobs=2)
    assert queue.gpus_of_workers == []


def test_workers_that_end_too_early_are_an_error():
    queue = ScriptedQueue({"a": "running"}, workers_answer=False)
    with pytest.raises(
        PetsegError, match=r"DVC's workers ended before all .* run the same command"
    ):
        run_queue(queue, {"a"}, jobs=1)


def test_a_worker_that_no_longer_answers_finishes_its_experiment_and_is_replaced(capsys):
    silent = {"a": "running", "b": "queued"}
    left = {"a": "success", "b": "queued"}
    queue = ScriptedQueue(
        *[silent] * 7, left, left, left, {"a": "success", "b": "success"},
        workers_answer=False, running=[True, True],
    )  # fmt: skip
    run_queue(queue, {"a", "b"}, jobs=1)
    assert len(queue.gpus_of_workers) == 2
    assert capsys.readouterr().out.splitlines()[-1] == "  b: success"


def test_a_worker_that_ends_again_without_finishing_anything_is_an_error():
    queue = ScriptedQueue(
        {"a": "running", "b": "queued"}, {"a": "success", "b": "queued"}, workers_answer=False
    )
    with pytest.raises(PetsegError, match="DVC's workers ended before all"):
        run_queue(queue, {"a", "b"}, jobs=1)
    assert len(queue.gpus_of_workers) == 2
