"""DVC's queue at work: its workers, each with its share of the GPUs, and waiting for them."""

import os
import shutil
import subprocess
import time
from typing import Any

from petseg.core.errors import PetsegError
from petseg.core.process import environment_variables
from petseg.sweeps.experiments import UNDER_WAY

_SILENCES = 5  # so often no worker answers before they count as ended


def run_queue(queue: Any, names: set[str], jobs: int) -> None:
    """Start workers for the named experiments, and tell what changes until none of them is queued or running.

    Raises PetsegError if the workers end before.
    """
    told = _states(queue, names)
    under_way = [name for name, state in told.items() if state in UNDER_WAY]
    if under_way:
        _start_workers(queue, min(jobs, len(under_way)))
    silences = 0
    while under_way:
        states = _states(queue, names)
        for name in sorted(states):
            if states[name] != told.get(name):
                print(f"  {name}: {states[name]}", flush=True)
        told, under_way = states, [name for name, state in states.items() if state in UNDER_WAY]
        silences = 0 if queue.worker_status() else silences + 1
        if under_way and silences == _SILENCES:
            raise PetsegError(
                "DVC's workers have ended before all experiments were done; the same command runs those that are "
                "missing."
            )
        time.sleep(3 if under_way else 0)


def _states(queue: Any, names: set[str]) -> dict[str, str]:
    return {
        task["name"]: task["status"].lower() for task in queue.status() if task["name"] in names
    }


def _start_workers(queue: Any, jobs: int) -> None:
    """So many of DVC's workers, each with its own share of the GPUs, or one of them if there are fewer."""
    gpus = _gpus()
    for number in range(1, jobs + 1):
        own = assign_gpus(gpus, number - 1, jobs)
        own_gpus = {"CUDA_VISIBLE_DEVICES": ",".join(own)} if own else {}
        with environment_variables(own_gpus):
            started = queue.start_workers(number)
        if started and gpus:
            print(f"Worker {number} has GPU {own_gpus['CUDA_VISIBLE_DEVICES']}.", flush=True)
        _wait_for_workers(queue, number)


def _wait_for_workers(queue: Any, number: int, most: float = 30.0) -> None:
    """DVC starts those workers that don't answer yet once more, so the next one has to wait."""
    deadline = time.monotonic() + most
    while (
        time.monotonic() < deadline
        and len(queue.worker_status()) < number
        and any(queue.iter_queued())
    ):
        time.sleep(0.5)


def _gpus() -> list[str]:
    """The names by which CUDA_VISIBLE_DEVICES calls the GPUs that may be used."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [name for name in named.replace(" ", "").split(",") if name not in ("", "-1")]
    if shutil.which("nvidia-smi") is None:
        return []
    told = subprocess.run(
        ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"], capture_output=True, text=True
    )
    return told.stdout.split() if told.returncode == 0 else []


def assign_gpus(gpus: list[str], worker: int, workers: int) -> list[str]:
    """A worker's GPUs: every `workers`th; where there are fewer GPUs than workers, one that others have too."""
    if len(gpus) >= workers:
        return gpus[worker::workers]
    return [gpus[worker % len(gpus)]] if gpus else []
