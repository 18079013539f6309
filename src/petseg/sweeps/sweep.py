"""Run every combination of parameter values that hasn't run yet, and rank all of them."""

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from dvc.repo import Repo

from petseg.config.params import Params, parse_params
from petseg.config.types import NAMED_WEIGHTS
from petseg.config.validation import read_yaml
from petseg.core.atomic_io import atomic_write
from petseg.core.errors import PetsegError
from petseg.core.remote import is_remote
from petseg.own_files import require_own_file, sign_image
from petseg.sweeps.chart import draw_parallel_coordinates
from petseg.sweeps.dvc_compat import (
    PARAMS_FILE,
    Experiment,
    Queue,
    expand_overrides,
    list_experiments,
    override_params,
    translate_dvc_errors,
)
from petseg.sweeps.reuse import find_reusable
from petseg.sweeps.run_queue import run_queue

TABLE, CHART = "experiments.csv", "parallel_coordinates.png"
_TARGET = "evaluate"  # the last stage to run


@dataclass(frozen=True)
class Combination:
    """The parameters of one experiment."""

    overrides: tuple[str, ...]  # KEY=VALUE, as for dvc exp run --set-param
    params: Params  # all of params.yaml, overridden, with absolute paths
    paths: tuple[str, ...] = ()  # the overrides that make paths absolute

    def __str__(self) -> str:
        return " ".join(self.overrides)


def run_sweep(settings: Sequence[str], jobs: int, metric: str, out: Path) -> pd.DataFrame:
    """Run the missing combinations, `jobs` at a time, and write a table and a chart of all.

    Experiments with the same parameters and files don't run again; a killed training run resumes
    from its checkpoint. Returns the table, best experiment first. Raises PetsegError.
    """
    # Workers find dvc, and stages find Python, where this command's Python is.
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with translate_dvc_errors(), Repo() as repo:
        require_own_file(out / TABLE, "experiment,state,")
        require_own_file(out / CHART)
        combinations = expand(settings, Path(repo.root_dir) / PARAMS_FILE)
        wanted = [combination.params for combination in combinations]
        reusable = find_reusable(wanted, list_experiments(repo), repo.root_dir)
        check_metric(metric, (experiment for experiment in reusable if experiment))
        print(f"{len(combinations)} experiments, {reusable.count(None)} to run.", flush=True)
        queue = Queue(repo)
        names = []
        for experiment, combination in zip(reusable, combinations, strict=True):
            if experiment:
                names.append(experiment.name)
            else:
                names.append(queue.add(_TARGET, combination.overrides + combination.paths))
                print(f"  {names[-1]}: {combination}", flush=True)
        run_queue(queue, set(names), jobs)
        ended = {experiment.name: experiment for experiment in list_experiments(repo)}
    experiments = [ended.get(name, Experiment(name, "removed")) for name in names]
    check_metric(metric, experiments)
    table = tabulate(combinations, experiments, metric)
    atomic_write(out / TABLE, table.to_csv(index=False))
    finished = table.dropna(subset=[metric])
    if len(finished):
        swept_keys = list(table.columns[3:])
        atomic_write(
            out / CHART, sign_image(draw_parallel_coordinates(finished, swept_keys, metric))
        )
    return table


def expand(settings: Sequence[str], params_file: Path) -> list[Combination]:
    """Return every combination of KEY=VALUE,VALUE,... settings, validated. Raises PetsegError."""
    combinations = []
    with tempfile.TemporaryDirectory() as folder:
        for overrides in expand_overrides(settings):
            copy = Path(shutil.copy(params_file, folder))
            override_params(copy, overrides)
            source = f"{PARAMS_FILE} with {' '.join(overrides)}"
            paths = absolute_paths(parse_params(read_yaml(copy), source), params_file.parent)
            override_params(copy, paths)
            params = parse_params(read_yaml(copy), source)
            combinations.append(Combination(overrides, params, paths))
    return combinations


def absolute_paths(params: Params, root: Path) -> tuple[str, ...]:
    """Return the overrides that make the paths of a user's files absolute.

    The queue runs copies of the project without the files that git doesn't track.
    """
    paths = {}
    if params.dataset.name == "folder" and not is_remote(params.dataset.folder.path):
        paths["dataset.folder.path"] = params.dataset.folder.path
    if params.model.weights not in NAMED_WEIGHTS:
        paths["model.weights"] = params.model.weights
    return tuple(
        "{}='{}'".format(key, str(root.absolute() / path).replace("'", r"\'"))
        for key, path in paths.items()
        if not Path(path).is_absolute()
    )


def check_metric(metric: str, experiments: Iterable[Experiment]) -> None:
    """Raise PetsegError if some experiments have finished, but none with this metric."""
    finished = [experiment for experiment in experiments if experiment.state == "success"]
    if finished and all(_number(experiment, metric) is None for experiment in finished):
        known = sorted(key for key, value in finished[0].metrics.items() if _is_number(value))
        raise PetsegError(
            f"--metric is {metric}, but must be a number in the experiments' metrics: "
            f"{', '.join(known)}."
        )


def tabulate(
    combinations: Sequence[Combination], experiments: Sequence[Experiment], metric: str
) -> pd.DataFrame:
    """Return experiment, state, metric and the swept parameters, one row per combination.

    The best experiment comes first: the highest metric, or the lowest if it is a loss.
    """
    rows: list[dict[str, Any]] = []
    for combination, experiment in zip(combinations, experiments, strict=True):
        params = combination.params.model_dump(mode="json")
        keys = [override.split("=", 1)[0].lstrip("+") for override in combination.overrides]
        row = {
            "experiment": experiment.name,
            "state": experiment.state,
            metric: _number(experiment, metric),
        }
        rows.append(row | {key: _value_at(params, key) for key in keys})
    return pd.DataFrame(rows).sort_values(
        metric, ascending=metric.endswith("loss"), na_position="last", kind="stable"
    )


def _value_at(params: Any, key: str) -> Any:
    """Return the parameter with a dotted key; a list or table as text, which a table can hold."""
    for name in key.split("."):
        params = params.get(name) if isinstance(params, dict) else None
    return json.dumps(params) if isinstance(params, dict | list) else params


def _number(experiment: Experiment, metric: str) -> float | None:
    """Return the metric of a finished experiment, or None if it has no such number."""
    value = experiment.metrics.get(metric)
    return value if experiment.state == "success" and _is_number(value) else None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
