"""Start the workers of DVC's queue, each with its share of the GPUs, and wait for experiments."""

import time

from petseg.core.errors import PetsegError
from petseg.core.process import environment_variables
from petseg.sweeps.dvc_compat import ACTIVE, Queue
from petseg.sweeps.gpus import assign_gpus, visible_gpus

_POLL_SECONDS = 3.0
_MAX_SILENT_POLLS = 5  # then silent workers without a running experiment have ended
_WORKER_START_SECONDS = 30.0


def run_queue(queue: Queue, names: set[str], jobs: int) -> None:
    """Run the named experiments, `jobs` at a time, and print each change of state.

    On a busy machine, a worker may take its queue for empty: it runs its experiment to the end
    without responding, and leaves the rest. Others are then started.
    Raises PetsegError if workers end before one experiment has.
    """
    states = queue.states(names)
    active = [name for name, state in states.items() if state in ACTIVE]
    if active:
        _start_workers(queue, min(jobs, len(active)))
    silent_polls, num_at_start = 0, len(active)
    while active:
        previous, states = states, queue.states(names)
        for name in sorted(states):
            if states[name] != previous.get(name):
                print(f"  {name}: {states[name]}", flush=True)
        active = [name for name, state in states.items() if state in ACTIVE]
        silent_polls = 0 if queue.num_workers() else silent_polls + 1
        if active and silent_polls >= _MAX_SILENT_POLLS and not queue.is_running(names):
            if len(active) == num_at_start:
                raise PetsegError(
                    "DVC's workers ended before all experiments were done; run the same command "
                    "again to run those that are missing."
                )
            _start_workers(queue, min(jobs, len(active)))
            silent_polls, num_at_start = 0, len(active)
        if active:
            time.sleep(_POLL_SECONDS)


def _start_workers(queue: Queue, num_workers: int) -> None:
    gpus = visible_gpus()
    for worker in range(num_workers):
        assigned = ",".join(assign_gpus(gpus, worker, num_workers))
        with environment_variables({"CUDA_VISIBLE_DEVICES": assigned} if gpus else {}):
            started = queue.start_worker(worker + 1)
        if started and gpus:
            print(f"Worker {worker + 1} has GPU {assigned}.", flush=True)
        _wait_for_workers(queue, worker + 1)


def _wait_for_workers(queue: Queue, num_workers: int) -> None:
    """Wait until this many workers respond: DVC would start silent ones a second time."""
    deadline = time.monotonic() + _WORKER_START_SECONDS
    while queue.num_workers() < num_workers and queue.has_waiting():
        if time.monotonic() > deadline:
            break
        time.sleep(0.5)
