"""The devices that train."""

from petseg.training.devices import Gpu, find_devices, find_gpus
from support.gpus import L4, T4, fake_gpus


def test_without_a_gpu_the_cpu_trains(monkeypatch):
    fake_gpus(monkeypatch)
    devices, description = find_devices()
    assert devices == ["CPU:0"]
    assert "no GPU found" in description


def test_all_gpus_train(monkeypatch):
    fake_gpus(monkeypatch, T4, L4)
    assert find_devices() == (["GPU:0", "GPU:1"], "2 GPUs (Tesla T4, NVIDIA L4)")
    fake_gpus(monkeypatch, {})  # not from NVIDIA
    assert find_devices() == (["GPU:0"], "1 GPU (GPU)")


def test_a_gpu_is_described_by_name_and_compute_capability(monkeypatch):
    fake_gpus(monkeypatch, T4, {})
    assert [*map(str, find_gpus())] == ["Tesla T4 (compute capability 7.5)", "GPU"]
    assert find_gpus()[0] == Gpu("Tesla T4", (7, 5))
