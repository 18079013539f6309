"""The line that names what a training's bytes depend on."""

import re
from importlib.metadata import PackageNotFoundError

import pytest

from petseg.training import environment
from petseg.training.environment import describe_environment
from support.gpus import L4, T4, fake_gpus

DRIVER_FILES = {
    "proprietary": "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5 22:23:56 UTC 2024\nGCC version:  gcc version 12.3.0\n",
    "open": "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  560.35.03  Release Build  (dvs-builder)\nGCC version:\n",
}


def not_installed(package):
    raise PackageNotFoundError(package)


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A machine with two GPUs, no driver file, and no CUDA libraries from pip."""
    fake_gpus(monkeypatch, T4, L4)
    build = {"cuda_version": "12.5.1", "cudnn_version": "9"}
    monkeypatch.setattr(environment.tf.sysconfig, "get_build_info", lambda: build)
    monkeypatch.setattr(environment, "version", not_installed)
    monkeypatch.setattr(environment, "_DRIVER_FILE", tmp_path / "version")
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def test_the_environment_names_device_instructions_threads_and_versions():
    line = describe_environment()
    assert re.fullmatch(
        r"\w+, \w+ \w+, 2 threads, Python 3\.\d+, tensorflow [\d.]+, keras [\d.]+, numpy [\d.]+, h5py .*",
        line,
    )
    assert describe_environment(num_workers=2) == f"2 workers, {line}"


def test_the_environment_names_variables_that_select_kernels(monkeypatch):
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    assert ", ONEDNN_MAX_CPU_ISA=AVX2, " in describe_environment()
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA")
    assert "ONEDNN" not in describe_environment()


@pytest.mark.parametrize(
    ("features", "precision", "named"),
    [
        ({"AVX2", "AVX512F", "AVX512_SKX"}, "float32", "AVX512_SKX"),
        ({"AVX2"}, "float32", "AVX2"),
        (set(), "float32", "baseline"),
        ({"AVX2", "AVX512BF16"}, "float32", "AVX2"),
        ({"AVX2", "AVX512BF16"}, "mixed_bfloat16", "AVX2 AVX512BF16"),
        ({"AVX2"}, "mixed_bfloat16", "AVX2"),
        ({"AVX2", "AVX512BF16", "AVX512FP16"}, "mixed_float16", "AVX2 AVX512FP16"),
        ({"AVX2", "AVX512BF16", "AVX512FP16"}, "tf32", "AVX2"),
    ],
)
def test_the_environment_names_the_newest_instruction_set(monkeypatch, features, precision, named):
    monkeypatch.setattr(environment, "has_cpu_feature", features.__contains__)
    assert f" {named}, 2 threads" in describe_environment(precision=precision)


def test_the_environment_names_gpus_libraries_and_tf32(machine, monkeypatch):
    gpus = "Tesla T4 (compute capability 7.5), NVIDIA L4 (compute capability 8.9)"
    start = f"{gpus}, driver unknown, CUDA 12.5.1, cuDNN 9, TF32 off, "
    assert describe_environment().startswith(start)

    installed = {"nvidia-cudnn-cu12": "9.3.0.75", "nvidia-cublas-cu12": "12.5.3.2"}
    monkeypatch.setattr(environment, "version", installed.__getitem__)
    environment.tf.config.experimental.enable_tensor_float_32_execution(True)
    line = describe_environment()
    environment.tf.config.experimental.enable_tensor_float_32_execution(False)
    assert ", CUDA 12.5.1, cuDNN 9.3.0.75, cuBLAS 12.5.3.2, TF32 on, " in line


@pytest.mark.parametrize(("kind", "version"), [("proprietary", "550.54.15"), ("open", "560.35.03")])
def test_the_driver_version_is_read_from_the_kernel(machine, kind, version):
    (machine / "version").write_text(DRIVER_FILES[kind])
    assert f", driver {version}, " in describe_environment()


def test_or_the_driver_version_is_asked_of_nvidia_smi(machine):
    command = machine / "nvidia-smi"
    command.write_text("#!/bin/sh\necho 535.104.05\necho 535.104.05\n")
    command.chmod(0o755)
    assert ", driver 535.104.05, " in describe_environment()
    command.write_text("#!/bin/sh\necho NVIDIA-SMI has failed\nexit 9\n")
    assert ", driver unknown, " in describe_environment()


def test_variables_that_select_gpu_kernels_count_only_with_a_gpu(machine, monkeypatch):
    monkeypatch.setenv("TF_CUDNN_USE_AUTOTUNE", "0")
    assert ", TF_CUDNN_USE_AUTOTUNE=0, " in describe_environment()
    fake_gpus(monkeypatch)
    assert "TF_CUDNN" not in describe_environment()
