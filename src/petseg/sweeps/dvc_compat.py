"""The DVC APIs that sweeps need, most of them private. Checked with DVC 3.67.1."""

import os
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc.utils.hydra import apply_overrides, get_hydra_sweeps

from petseg.config.params import Params, parse_params
from petseg.config.paths import PipelinePaths
from petseg.config.validation import flatten
from petseg.core.errors import PetsegError, first_line, translate

PARAMS_FILE = "params.yaml"
ACTIVE = ("running", "queued")
_METRICS = (PipelinePaths.train_metrics, PipelinePaths.val_metrics, PipelinePaths.test_metrics)
"""Of the stages that a sweep runs. The others are those of the last commit."""

_QUEUE_EXECUTOR = "dvc-task"  # others run in the workspace or in a temporary copy


@dataclass(frozen=True)
class Experiment:
    """An experiment that starts from HEAD."""

    name: str
    state: str  # queued | running | success | failed | lost (running without a process) | removed
    revision: str = ""
    params: Params | None = None  # None if this version of petseg can't read them
    metrics: dict[str, Any] = field(default_factory=dict)  # by dotted key


def list_experiments(repo: Repo) -> list[Experiment]:
    """Return the experiments that start from HEAD."""
    _workspace, head = repo.experiments.show(num=1)[:2]
    return [_to_experiment(entry) for entry in head.dumpd()["experiments"] or []]


def _to_experiment(entry: dict[str, Any]) -> Experiment:
    revision, executor = entry["revs"][0], entry["executor"] or {}
    state = executor.get("state") or "success"
    if state == "running":
        pid = (executor["local"] or {}).get("pid")
        if executor["name"] != _QUEUE_EXECUTOR or not _is_alive(pid):
            state = "lost"
    data = revision["data"] or {}
    metrics: dict[str, Any] = {}
    for path, file in (data.get("metrics") or {}).items():
        if Path(path) in _METRICS:
            metrics |= flatten(file.get("data") or {})
    params = None
    with suppress(PetsegError, KeyError, TypeError):
        params = parse_params(data["params"][PARAMS_FILE]["data"])
    return Experiment(revision["name"] or entry["name"], state, revision["rev"], params, metrics)


def _is_alive(pid: int | None) -> bool:
    if not pid:
        return False
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True


class Queue:
    """DVC's experiment queue, whose Celery workers run in the background."""

    def __init__(self, repo: Repo) -> None:
        self._repo, self._experiments = repo, repo.experiments
        self._queue = repo.experiments.celery_queue

    def add(self, target: str, overrides: Iterable[str]) -> str:
        """Queue an experiment that runs up to the stage `target`, and return its name."""
        params = {PARAMS_FILE: list(overrides)}
        entry = self._experiments.queue_one(self._queue, targets=[target], params=params)
        return str(entry.name)

    def states(self, names: set[str]) -> dict[str, str]:
        """Return the state of each of these experiments that the queue knows about."""
        return {
            task["name"]: task["status"].lower()
            for task in self._queue.status()
            if task["name"] in names
        }

    def start_worker(self, number: int) -> bool:
        """Start worker 1, 2, ... unless it is running. The workers before it must be responding."""
        return bool(self._queue.start_workers(number))

    def num_workers(self) -> int:
        """Return how many workers are responding."""
        return len(self._queue.worker_status())

    def is_running(self, names: set[str]) -> bool:
        """Return whether any of these experiments has a running process."""
        return any(
            experiment.name in names and experiment.state == "running"
            for experiment in list_experiments(self._repo)
        )

    def has_waiting(self) -> bool:
        """Return whether any experiments are waiting for a worker."""
        return any(self._queue.iter_queued())


def expand_overrides(settings: Sequence[str]) -> list[tuple[str, ...]]:
    """Return every combination of KEY=VALUE,VALUE,... settings, each once. Raises PetsegError."""

    def message(error: Exception) -> str:  # one of Hydra's, or anything from its parser
        return (
            f"Can't parse --set-param ({first_line(error)}); use KEY=VALUE,VALUE,..., and put "
            "quotes around paths and names within the shell's quotes: \"KEY='VALUE'\"."
        )

    with translate(message):
        sweeps = get_hydra_sweeps({PARAMS_FILE: list(settings)})
        return list(dict.fromkeys(tuple(overrides[PARAMS_FILE]) for overrides in sweeps))


def override_params(params_file: Path, overrides: Sequence[str]) -> None:
    """Change a params.yaml as `dvc exp run --set-param` does. Raises PetsegError."""

    def message(error: Exception) -> str:
        reason = first_line(error.__cause__ or error)
        return f"{' '.join(overrides)}: {reason}; use a key of {PARAMS_FILE}."

    with translate(message, DvcException):
        apply_overrides(params_file, list(overrides))


def translate_dvc_errors() -> AbstractContextManager[None]:
    """Raise DVC's exceptions as PetsegError."""
    return translate(
        lambda error: f"DVC failed ({first_line(error)}); fix that, then run petseg sweep again.",
        DvcException,
    )
