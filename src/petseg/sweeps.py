"""Many experiments in one command: every combination of some parameters' values, through DVC's own queue.

DVC expands the settings, queues, runs and keeps. Here is told what of it is still missing, each worker is given its
GPU, and what came out becomes a table and a chart.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc.utils.hydra import apply_overrides, get_hydra_sweeps

from petseg.errors import PetsegError, first_line
from petseg.files import write_whole
from petseg.params import Params, parse_params
from petseg.rendering.charts import draw_parallel_coordinates
from petseg.validation import read_yaml

TABLE, CHART = "experiments.csv", "parallel_coordinates.png"
_PARAMS = "params.yaml"
_OUTPUTS = ("dvc.lock", _PARAMS, "metrics", "plots")  # what an experiment may have changed of the tracked files
_UNDER_WAY = ("running", "queued")


@dataclass(frozen=True)
class Combination:
    """One of the sweep's experiments to be."""

    overrides: tuple[str, ...]  # as for dvc exp run --set-param
    params: Params  # the whole of params.yaml with them

    def __str__(self) -> str:
        return " ".join(self.overrides)


@dataclass(frozen=True)
class Experiment:
    """One that DVC knows of."""

    name: str
    state: str  # queued | running | success | failed, and lost if its process isn't there any more
    revision: str = ""
    params: Params | None = None  # none if they are no parameters of today's
    metrics: dict[str, Any] = field(default_factory=dict)  # by dotted key


def run_sweep(settings: Sequence[str], target: str, jobs: int, metric: str, out: Path) -> pd.DataFrame:
    """Run what is missing of all combinations, `jobs` at a time, and write the table and the chart of all of them.

    What has been run from the same files with the same parameters isn't run again; what was killed goes on from its
    checkpoint. Returns the table, the best experiment first. Raises PetsegError.
    """
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # of dvc and of the stages
    with _dvc_in_sentences(), Repo() as repo:
        combinations = expand(settings, Path(repo.root_dir) / _PARAMS)
        done = standing(combinations, experiments(repo))
        print(f"{len(combinations)} experiments, {done.count(None)} of them to be queued.", flush=True)
        names = [
            experiment.name if experiment else _enqueue(repo, one, target)
            for one, experiment in zip(combinations, done, strict=True)
        ]
        _wait(repo.experiments.celery_queue, set(names), jobs)
        ended = {experiment.name: experiment for experiment in experiments(repo)}
    table = tabulate(combinations, [ended.get(name, Experiment(name, state="removed")) for name in names], metric)
    write_whole(out / TABLE, table.to_csv(index=False))
    swept = list(table.columns[3:])
    if table[metric].notna().any():
        write_whole(out / CHART, draw_parallel_coordinates(table.dropna(subset=[metric]), swept, metric))
    return table


def expand(settings: Sequence[str], params_file: Path) -> list[Combination]:
    """All combinations of the settings' values (KEY=VALUE,VALUE,...), each checked. Raises PetsegError."""
    try:
        overrides = [tuple(one[_PARAMS]) for one in get_hydra_sweeps({_PARAMS: list(settings)})]
    except Exception as error:  # Hydra's own kinds, and whatever its parser stumbles over
        raise PetsegError(f"--set-param can't be read ({first_line(error)}); it must be KEY=VALUE,VALUE,...") from error
    combinations = []
    with tempfile.TemporaryDirectory() as folder:
        for one in overrides:
            copy = Path(folder) / _PARAMS
            shutil.copy(params_file, copy)
            try:
                apply_overrides(copy, list(one))
            except DvcException as error:
                reason = first_line(error.__cause__ or error)
                raise PetsegError(f"{' '.join(one)}: {reason}") from error
            combinations.append(Combination(one, parse_params(read_yaml(copy), f"{_PARAMS} with {' '.join(one)}")))
    return combinations


def experiments(repo: Repo) -> list[Experiment]:
    """Those that start from HEAD, as DVC knows them."""
    head = repo.experiments.show(num=1)[1].dumpd()  # the first is the workspace
    return [_experiment(entry) for entry in head["experiments"] or []]


def _experiment(entry: dict[str, Any]) -> Experiment:
    executor, revision = entry["executor"] or {}, entry["revs"][0]
    state = executor.get("state") or "success"
    if state == "running" and not _is_alive((executor.get("local") or {}).get("pid")):
        state = "lost"
    data = revision["data"] or {}
    metrics: dict[str, Any] = {}
    for file in (data.get("metrics") or {}).values():
        metrics |= flatten(file.get("data") or {})
    params = None
    with suppress(PetsegError):
        params = parse_params(data["params"][_PARAMS]["data"])
    return Experiment(revision["name"] or entry["name"], state, revision["rev"], params, metrics)


def _is_alive(pid: int | None) -> bool:
    try:
        os.kill(pid or 0, 0)
    except OSError:
        return False
    return bool(pid)


def standing(combinations: list[Combination], known: list[Experiment]) -> list[Experiment | None]:
    """For each combination an experiment that needn't be run again, if there is one: the nearest to its end."""
    order = ["success", *_UNDER_WAY]
    usable = sorted((one for one in known if one.state in order), key=lambda one: order.index(one.state))
    return [
        next((one for one in usable if one.params == combination.params and _is_of_these_files(one)), None)
        for combination in combinations
    ]


def _is_of_these_files(experiment: Experiment) -> bool:
    """Whether it was made from the workspace's code and data, as far as git knows them, or is being made."""
    if experiment.state in _UNDER_WAY:
        return True
    if experiment.params is None or experiment.params.dataset.name == "folder":
        return False  # the pictures may be others by now: DVC will see
    outputs = [f":(exclude){path}" for path in _OUTPUTS]
    same = subprocess.run(["git", "diff", "--quiet", experiment.revision, "--", ".", *outputs], capture_output=True)
    return same.returncode == 0


def _enqueue(repo: Repo, combination: Combination, target: str) -> str:
    """Queue an experiment; returns its name."""
    queue, overrides = repo.experiments.celery_queue, {_PARAMS: list(combination.overrides)}
    name = str(repo.experiments.queue_one(queue, targets=[target], params=overrides).name)
    print(f"  {name}: {combination}", flush=True)
    return name


def _start_workers(queue: Any, jobs: int) -> None:
    """So many of DVC's workers, each with its own share of the GPUs, or one of them if there are fewer."""
    gpus = _gpus()
    for number in range(1, jobs + 1):
        own = share_of(gpus, number - 1, jobs)
        environment = {"CUDA_VISIBLE_DEVICES": ",".join(own)} if own else {}
        with _environment(environment):
            started = queue.start_workers(number)
        if started and gpus:
            print(f"Worker {number} has GPU {environment['CUDA_VISIBLE_DEVICES']}.", flush=True)
        _wait_for_workers(queue, number)


def _wait_for_workers(queue: Any, number: int, most: float = 30.0) -> None:
    """DVC starts those workers that don't answer yet once more, so the next one has to wait."""
    deadline = time.monotonic() + most
    while time.monotonic() < deadline and len(queue.worker_status()) < number and any(queue.iter_queued()):
        time.sleep(0.5)


def _gpus() -> list[str]:
    """The names by which CUDA_VISIBLE_DEVICES calls the GPUs that may be used."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [name for name in named.replace(" ", "").split(",") if name not in ("", "-1")]
    if shutil.which("nvidia-smi") is None:
        return []
    told = subprocess.run(["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"], capture_output=True, text=True)
    return told.stdout.split() if told.returncode == 0 else []


def share_of(gpus: list[str], worker: int, workers: int) -> list[str]:
    """A worker's GPUs: every `workers`th; where there are fewer GPUs than workers, one that others have too."""
    if len(gpus) >= workers:
        return gpus[worker::workers]
    return [gpus[worker % len(gpus)]] if gpus else []


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = {key: os.environ.get(key) for key in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for key, value in before.items():
            if value is None:
                del os.environ[key]
            else:
                os.environ[key] = value


def _wait(queue: Any, names: set[str], jobs: int) -> None:
    """Start workers for what is queued, and tell whatever changes until nothing is queued or running any more."""
    told: dict[str, str] = {}
    silent = 0
    while True:
        states = {entry["name"]: entry["status"].lower() for entry in queue.status() if entry["name"] in names}
        under_way = [name for name, state in states.items() if state in _UNDER_WAY]
        if not told and under_way:
            _start_workers(queue, min(jobs, len(under_way)))
        for name, state in sorted(states.items()):
            if state not in ("queued", told.get(name)) and (told or state == "running"):
                print(f"  {name}: {state}", flush=True)
        told = states
        if not under_way:
            return
        silent = 0 if queue.worker_status() else silent + 1
        if silent == 5:
            raise PetsegError(
                "DVC's workers have ended before all experiments were done; the same command runs those that are "
                "missing."
            )
        time.sleep(3)


def tabulate(combinations: list[Combination], found: list[Experiment], metric: str) -> pd.DataFrame:
    """A row for each combination: experiment, state, the metric, and each swept key's value; the best one first.

    Raises PetsegError if no finished experiment has that metric.
    """
    done = [experiment for experiment in found if experiment.state == "success"]
    if done and not any(metric in experiment.metrics for experiment in done):
        raise PetsegError(f"There is no metric {metric!r}; there are {', '.join(sorted(done[0].metrics))}.")
    rows = []
    for one, experiment in zip(combinations, found, strict=True):
        params = flatten(one.params.model_dump(mode="json"))
        score = experiment.metrics.get(metric) if experiment in done else None
        swept = {key: params.get(key) for key in (override.split("=", 1)[0] for override in one.overrides)}
        rows.append({"experiment": experiment.name, "state": experiment.state, metric: score, **swept})
    return pd.DataFrame(rows).sort_values(metric, ascending=False, na_position="last", kind="stable")


def flatten(nested: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"a": {"b": 1}} as {"a.b": 1}."""
    flat: dict[str, Any] = {}
    for key, value in nested.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


@contextmanager
def _dvc_in_sentences() -> Iterator[None]:
    try:
        yield
    except DvcException as error:
        raise PetsegError(f"DVC refuses: {first_line(error)}.") from error
