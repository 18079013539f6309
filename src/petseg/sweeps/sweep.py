"""Every combination of some parameters' values: what is missing is run, and all becomes a table and a chart.

DVC expands the settings, queues, runs and keeps.
"""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc.utils.hydra import apply_overrides, get_hydra_sweeps

from petseg.config.params import Params, parse_params
from petseg.config.validation import flatten, read_yaml
from petseg.core.atomic_io import atomic_write
from petseg.core.errors import PetsegError, first_line
from petseg.sweeps.chart import draw_parallel_coordinates
from petseg.sweeps.experiments import PARAMS_FILE, Experiment, find_reusable, known_experiments
from petseg.sweeps.workers import run_queue

TABLE, CHART = "experiments.csv", "parallel_coordinates.png"
_TARGET = "evaluate"  # whose metrics are compared


@dataclass(frozen=True)
class Combination:
    """One of the sweep's experiments to be."""

    overrides: tuple[str, ...]  # as for dvc exp run --set-param
    params: Params  # the whole of params.yaml with them

    def __str__(self) -> str:
        return " ".join(self.overrides)


def run_sweep(settings: Sequence[str], jobs: int, metric: str, out: Path) -> pd.DataFrame:
    """Run what is missing of all combinations, `jobs` at a time, and write the table and the chart of all of them.

    What has been run from the same files with the same parameters isn't run again; what was killed goes on from its
    checkpoint. Returns the table, the best experiment first. Raises PetsegError.
    """
    os.environ["PATH"] = (
        f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # of dvc and of the stages
    )
    with _dvc_in_sentences(), Repo() as repo:
        combinations = expand(settings, Path(repo.root_dir) / PARAMS_FILE)
        done = find_reusable(
            [one.params for one in combinations], known_experiments(repo), repo.root_dir
        )
        print(
            f"{len(combinations)} experiments, {done.count(None)} of them to be queued.", flush=True
        )
        names = [
            experiment.name if experiment else _enqueue(repo, one)
            for one, experiment in zip(combinations, done, strict=True)
        ]
        run_queue(repo.experiments.celery_queue, set(names), jobs)
        ended = {experiment.name: experiment for experiment in known_experiments(repo)}
    table = tabulate(
        combinations, [ended.get(name, Experiment(name, "removed")) for name in names], metric
    )
    atomic_write(out / TABLE, table.to_csv(index=False))
    if table[metric].notna().any():
        finished = table.dropna(subset=[metric])
        atomic_write(
            out / CHART, draw_parallel_coordinates(finished, list(table.columns[3:]), metric)
        )
    return table


def expand(settings: Sequence[str], params_file: Path) -> list[Combination]:
    """All combinations of the settings' values (KEY=VALUE,VALUE,...), each checked. Raises PetsegError."""
    try:
        overrides = [
            tuple(one[PARAMS_FILE]) for one in get_hydra_sweeps({PARAMS_FILE: list(settings)})
        ]
    except Exception as error:  # Hydra's own kinds, and whatever its parser stumbles over
        raise PetsegError(
            f"--set-param can't be read ({first_line(error)}); it must be KEY=VALUE,VALUE,..."
        ) from error
    combinations: list[Combination] = []
    with tempfile.TemporaryDirectory() as folder:
        for one in dict.fromkeys(overrides):
            copy = Path(folder) / PARAMS_FILE
            shutil.copy(params_file, copy)
            try:
                apply_overrides(copy, list(one))
            except DvcException as error:
                reason = first_line(error.__cause__ or error)
                raise PetsegError(
                    f"{' '.join(one)}: {reason}; {PARAMS_FILE} has the parameters."
                ) from error
            params = parse_params(read_yaml(copy), f"{PARAMS_FILE} with {' '.join(one)}")
            combinations.append(Combination(one, params))
    return combinations


def _enqueue(repo: Repo, combination: Combination) -> str:
    """Queue an experiment; returns its name."""
    queue, overrides = repo.experiments.celery_queue, {PARAMS_FILE: list(combination.overrides)}
    name = str(repo.experiments.queue_one(queue, targets=[_TARGET], params=overrides).name)
    print(f"  {name}: {combination}", flush=True)
    return name


def tabulate(combinations: list[Combination], found: list[Experiment], metric: str) -> pd.DataFrame:
    """A row for each combination: experiment, state, the metric, and each swept key's value; the best one first.

    Of a loss the smallest is the best. Raises PetsegError if no finished experiment has such a number.
    """
    scores = [
        experiment.metrics.get(metric) if experiment.state == "success" else None
        for experiment in found
    ]
    numbers = [score if isinstance(score, int | float) else None for score in scores]
    done = [experiment for experiment in found if experiment.state == "success"]
    if done and not any(number is not None for number in numbers):
        told = sorted(
            key for key, value in done[0].metrics.items() if isinstance(value, int | float)
        )
        raise PetsegError(
            f"--metric {metric} is no number of the finished experiments; there are {', '.join(told)}."
        )
    rows: list[dict[str, Any]] = []
    for one, experiment, number in zip(combinations, found, numbers, strict=True):
        params = flatten(one.params.model_dump(mode="json"))
        keys = [override.split("=", 1)[0].lstrip("+") for override in one.overrides]
        swept = {key: params.get(key) for key in keys}
        rows.append(
            {"experiment": experiment.name, "state": experiment.state, metric: number, **swept}
        )
    smallest_first = metric.endswith("loss")
    return pd.DataFrame(rows).sort_values(
        metric, ascending=smallest_first, na_position="last", kind="stable"
    )


@contextmanager
def _dvc_in_sentences() -> Iterator[None]:
    try:
        yield
    except DvcException as error:
        raise PetsegError(f"DVC refuses: {first_line(error)}.") from error
