"""Check petseg on a GPU: training in every precision, equal bytes, resuming, shared memory, speed.

    python tests/soak/gpu.py            # on a machine with a GPU; at most six minutes
    python tests/soak/gpu.py --cpu      # a tiny version on the CPU, which tests this script

It trains on drawn pets in a temporary folder and prints a table and what to report. The exit code
is 1 if a check fails. Of several GPUs, the first is used.
"""

import json
import math
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for support

from petseg.sweeps.gpus import query_gpus, visible_gpus
from support.gpu_tasks import EXIT_WHEN_CUT, configurations
from support.project import ROOT

_LIMIT = 350  # seconds on a GPU
_MAX_MEMORY = 0.75  # of a GPU, for two trainings together; without growth, one takes nearly all
_REPORT = """
Please report all of the output above, and nvidia-smi's table, as an issue "petseg on <your GPU>".
If the bytes differ, add what `python tests/soak/gpu.py` prints when you run it again."""


class Machine:
    """Runs this script's tasks in child processes on the first GPU, or on the CPU."""

    def __init__(self, folder: Path, on_cpu: bool) -> None:
        self.folder = folder
        self.on_cpu = on_cpu
        self._deadline = math.inf if on_cpu else time.monotonic() + _LIMIT
        self.device = "-1" if on_cpu else (visible_gpus() or ["0"])[0]
        self.is_out_of_time = False
        self._environment = {k: v for k, v in os.environ.items() if not k.startswith("DVC_")} | {
            "CUDA_VISIBLE_DEVICES": self.device,
            "CUDA_DEVICE_ORDER": "PCI_BUS_ID",  # that of nvidia-smi
            "PYTHONPATH": os.pathsep.join((str(ROOT / "src"), str(ROOT / "tests"))),
        }

    def start(self, task: str, **arguments: Any) -> "subprocess.Popen[str]":
        script = str(ROOT / "tests" / "support" / "gpu_tasks.py")
        arguments |= {"folder": str(self.folder), "on_cpu": self.on_cpu}
        return subprocess.Popen(
            [sys.executable, script, task, json.dumps(arguments)],
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def results(self, process: "subprocess.Popen[str]") -> list[dict[str, Any]]:
        """Wait for a task, at most until the time is up, and return what it found out."""
        try:
            left = max(1, self._deadline - time.monotonic())
            output, _ = process.communicate(timeout=None if left == math.inf else left)
        except subprocess.TimeoutExpired:
            process.kill()
            output, _ = process.communicate()
            self.is_out_of_time = True
        lines = output.splitlines()
        if process.returncode not in (0, EXIT_WHEN_CUT) and not self.is_out_of_time:
            click.echo("\n".join(lines[-15:]))
        return [json.loads(line[7:]) for line in lines if line.startswith("RESULT ")]


@click.command(help=__doc__)
@click.option("--cpu", "on_cpu", is_flag=True, help="Run a tiny version on the CPU.")
def main(on_cpu: bool) -> None:
    with tempfile.TemporaryDirectory(prefix="petseg-gpu-") as name:
        machine = Machine(Path(name), on_cpu)
        found = machine.results(machine.start("prepare"))
        if not found:
            sys.exit("The data could not be prepared.")
        if not found[0]["gpus"] and not on_cpu:
            sys.exit(
                "TensorFlow finds no GPU. Install its libraries (pip install -r "
                "requirements-gpu.txt), or run a tiny version on the CPU: --cpu."
            )
        click.echo(found[0]["environment"] + "\n")
        failed = [name for name, passed in checks(machine) if not passed]
        if not print_speeds(machine):
            failed.append("a training step of every configuration")
    click.echo(f"\nFAILED: {'; '.join(failed)}." if failed else "\nAll checks passed.")
    click.echo("" if on_cpu else _REPORT)
    sys.exit(bool(failed))


def checks(machine: Machine) -> Iterator[tuple[str, bool]]:
    """Train in pairs of processes, compare the bytes, and yield and print each check."""

    def report(name: str, passed: bool, detail: str) -> tuple[str, bool]:
        click.echo(f"{'passed' if passed else 'FAILED'}  {name}: {detail}")
        return name, passed

    def train_pair(*pair: dict[str, Any]) -> list[dict[str, Any]]:
        processes = [machine.start("train", **arguments) for arguments in pair]
        found = [machine.results(process) for process in processes]
        return [results[-1] if results else {} for results in found]

    with watched_memory(machine.device) as memory:
        first, second = train_pair({"name": "first"}, {"name": "second"})
    digest, steps = first.get("sha256", "none"), first.get("steps", 0)
    yield report(
        "two trainings give the same bytes",
        bool(first) and digest == second.get("sha256"),
        f"{steps} steps, sha256 {digest[:16]} and {second.get('sha256', 'none')[:16]}",
    )
    if memory:
        share, text = max(memory)
        detail = f"{text} at most, both together"
        yield report("they share the GPU", bool(first and second) and share < _MAX_MEMORY, detail)
    elif not machine.on_cpu:
        click.echo("skipped they share the GPU: nvidia-smi doesn't tell how much memory is used")

    # A millionth more learning rate, and a process that dies after half of the steps.
    control, cut = train_pair({"name": "control", "factor": 1 + 1e-6}, {"name": "cut", "cut": True})
    yield report(
        "another learning rate gives other bytes",
        bool(control) and control["sha256"] != digest,
        f"sha256 {control.get('sha256', 'none')[:16]}",
    )
    (resumed,) = train_pair({"name": "cut"})
    yield report(
        "a killed and resumed training gives the same bytes",
        bool(resumed) and not cut and resumed["was_resumed"] and resumed["sha256"] == digest,
        f"sha256 {resumed.get('sha256', 'none')[:16]}",
    )


def print_speeds(machine: Machine) -> bool:
    """Print a table of training steps; return whether all configurations train."""
    click.echo(
        "\n| network | px | batch | precision | losses of three steps | images/s | peak MiB |"
    )
    click.echo("|---|---|---|---|---|---|---|")
    rows = machine.results(machine.start("speed"))
    for row in rows:
        losses = ", ".join(f"{loss:.4f}" for loss in row["losses"])
        click.echo(
            f"| {row['network']} | {row['size']} | {row['batch']} | {row['precision']} | {losses} "
            f"| {row['speed']:.0f} | {row['peak']} |"
        )
    missing = len(configurations(machine.on_cpu)) - len(rows)
    if machine.is_out_of_time:
        click.echo(f"\nStopped after {_LIMIT} s; {missing} configurations are missing.")
    is_finite = all(abs(loss) < 100 for row in rows for loss in row["losses"])
    return is_finite and (not missing or machine.is_out_of_time)


@contextmanager
def watched_memory(device: str) -> Iterator[list[tuple[float, str]]]:
    """Yield a list that grows: the share of the GPU's memory taken since the start, and a text.

    It stays empty if nvidia-smi doesn't say it.
    """
    samples: list[tuple[float, str]] = []
    is_over = threading.Event()
    before, _ = _memory_of(device) or (0, 0)

    def watch() -> None:
        while not is_over.wait(0.5):
            if memory := _memory_of(device):
                used, total = memory
                samples.append(((used - before) / total, f"{used - before} of {total} MiB"))

    thread = threading.Thread(target=watch)
    thread.start()
    yield samples
    is_over.set()
    thread.join()


def _memory_of(device: str) -> tuple[int, int] | None:
    """Return a GPU's memory in use and its total memory in MiB; the GPU is named by index or ID."""
    for line in query_gpus("index,uuid,memory.used,memory.total"):
        index, uuid, *memory = line.split(", ")
        if device == index or uuid.startswith(device):
            used, total = (int(field.split()[0]) for field in memory)
            return used, total
    return None


if __name__ == "__main__":
    main()
