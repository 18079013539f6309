"""Which GPUs there are, and which worker gets which."""

import pytest

from petseg.sweeps.gpus import assign_gpus, query_gpus, visible_gpus


@pytest.fixture
def nvidia_smi(tmp_path, monkeypatch):
    """A command nvidia-smi that repeats what it is asked for, once for each of two GPUs."""
    command = tmp_path / "nvidia-smi"
    command.write_text('#!/bin/sh\necho "$1 of GPU 0"\necho "$1 of GPU 1"\n')
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return command


def test_nvidia_smi_is_asked_for_one_field_of_every_gpu(nvidia_smi):
    assert query_gpus("name") == ["--query-gpu=name of GPU 0", "--query-gpu=name of GPU 1"]


def test_without_a_working_nvidia_smi_there_are_no_gpus(nvidia_smi):
    nvidia_smi.write_text("#!/bin/sh\necho failed\nexit 9\n")
    assert query_gpus("name") == []
    nvidia_smi.unlink()
    assert query_gpus("name") == []


@pytest.mark.parametrize(
    ("value", "gpus"),
    [("3, 5", ["3", "5"]), ("GPU-1", ["GPU-1"]), ("", []), ("-1", [])],
)
def test_cuda_visible_devices_takes_precedence(nvidia_smi, monkeypatch, value, gpus):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    assert visible_gpus() == gpus


def test_all_gpus_are_visible_by_default(nvidia_smi):
    assert len(visible_gpus()) == 2


def test_workers_divide_the_gpus_or_share_them():
    gpus = ["0", "1", "2", "3", "4"]
    assert [assign_gpus(gpus, worker, 2) for worker in range(2)] == [["0", "2", "4"], ["1", "3"]]
    assert [assign_gpus(["0", "1"], worker, 3) for worker in range(3)] == [["0"], ["1"], ["0"]]
    assert assign_gpus([], 0, 2) == []
