"""The line that names what a training's bytes depend on."""

import re

import pytest

from petseg.training import environment
from petseg.training.environment import describe_environment


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
    ],
)
def test_the_environment_names_the_newest_instruction_set(monkeypatch, features, precision, named):
    monkeypatch.setattr(environment, "has_cpu_feature", features.__contains__)
    assert f" {named}, 2 threads" in describe_environment(precision=precision)
