"""What can be proved about GPUs without one. tests/soak/gpu.py is for a machine that has one."""

import mmap
import re
import subprocess
import sys
from pathlib import Path

import tensorflow as tf

from support.gpu_graphs import REFUSALS
from support.gpus import gpu_machine
from support.project import ROOT


def test_the_unit_tests_pass_on_a_machine_with_a_gpu(tmp_path):
    """The machine is a faked one, whose GPU can't compute: a test that used it would fail."""
    environment = gpu_machine(tmp_path)
    list_gpus = "import tensorflow as tf; print(tf.config.list_physical_devices('GPU'))"
    done = subprocess.run(
        [sys.executable, "-c", list_gpus], env=environment, capture_output=True, text=True
    )
    assert "GPU:0" in done.stdout, done.stderr
    command = [sys.executable, "-m", "pytest", "-n", "2", "tests/unit"]
    subprocess.run(command, cwd=ROOT, env=environment, check=True)


def test_the_command_for_machines_with_a_gpu_runs_on_a_cpu(tmp_path):
    command = [sys.executable, "tests/soak/gpu.py"]
    done = subprocess.run([*command, "--cpu"], cwd=ROOT, capture_output=True, text=True)
    assert "All checks passed." in done.stdout, done.stdout + done.stderr
    assert done.stdout.count("\npassed  ") == 3
    assert done.stdout.count("| params.yaml |") == 6
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert "TensorFlow finds no GPU." in done.stderr


def test_the_list_of_ops_that_refuse_determinism_is_that_of_the_installed_tensorflow():
    library = Path(tf.__file__).parent / "libtensorflow_cc.so.2"
    pattern = (
        rb"Determinism is not yet supported [^\0]*"
        rb"|(?:A d|D)eterministic GPU implementation of [^\0]*"
        rb"|The GPU implementation of [^\0]* is not deterministic[^\0]*"
    )
    with library.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as binary:
        messages = {found.group().decode() for found in re.finditer(pattern, binary)}
    assert messages == set(REFUSALS)
