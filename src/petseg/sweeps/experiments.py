"""The experiments that DVC knows, and which of them needn't be run again."""

import os
import subprocess
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import yaml
from dvc.repo import Repo

from petseg.config.params import EvaluateParams, Params, parse_params
from petseg.config.validation import flatten
from petseg.core.errors import PetsegError

PARAMS_FILE = "params.yaml"
UNDER_WAY = ("running", "queued")
_QUEUE = "dvc-task"  # as DVC calls it; an experiment may also run in the workspace or in a temporary copy
_OUTPUTS = (
    "dvc.lock",
    PARAMS_FILE,
    "metrics",
    "plots",
)  # what an experiment may have changed of the tracked files


@dataclass(frozen=True)
class Experiment:
    """One that starts from HEAD."""

    name: str
    state: str  # queued | running | success | failed, and lost if it claims to run and isn't in the queue's hands
    revision: str = ""
    params: Params | None = None  # none if they are no parameters of today's
    metrics: dict[str, Any] = field(default_factory=dict)  # by dotted key


def known_experiments(repo: Repo) -> list[Experiment]:
    """Those that start from HEAD."""
    head = repo.experiments.show(num=1)[1].dumpd()  # the first is the workspace
    return [_experiment(entry) for entry in head["experiments"] or []]


def _experiment(entry: dict[str, Any]) -> Experiment:
    revision, executor = entry["revs"][0], entry["executor"] or {}
    name, state = revision["name"] or entry["name"], executor.get("state") or "success"
    if state == "running" and not (
        executor["name"] == _QUEUE and _is_alive((executor["local"] or {}).get("pid"))
    ):
        state = "lost"
    data = revision["data"] or {}
    metrics: dict[str, Any] = {}
    for file in (data.get("metrics") or {}).values():
        metrics |= flatten(file.get("data") or {})
    params = None
    with suppress(PetsegError, KeyError, TypeError):  # of an old commit, or broken
        params = parse_params(data["params"][PARAMS_FILE]["data"])
    return Experiment(name, state, revision["rev"], params, metrics)


def _is_alive(pid: int | None) -> bool:
    try:
        os.kill(pid or 0, 0)
    except OSError:
        return False
    return bool(pid)


def find_reusable(
    wanted: Sequence[Params], known: Iterable[Experiment], root: str
) -> list[Experiment | None]:
    """For each set of parameters an experiment that needn't be run again, if there is one: the nearest to its end.

    It has the same parameters and, as far as git knows them, the same files as the workspace in `root`.
    """
    order = ["success", *UNDER_WAY]
    usable = sorted(
        (one for one in known if one.state in order), key=lambda one: order.index(one.state)
    )
    return [
        next((one for one in usable if one.params == params and _stands(one, root)), None)
        for params in wanted
    ]


def _stands(experiment: Experiment, root: str) -> bool:
    if experiment.params is None or experiment.params.dataset.name == "folder":
        return False  # the pictures may be others by now: DVC will see
    outputs = [f":(exclude){path}" for path in _OUTPUTS]
    if _git(root, "diff", "--quiet", experiment.revision, "--", ".", *outputs) is None:
        return False
    if experiment.state in UNDER_WAY:
        return True
    lock = yaml.safe_load(_git(root, "show", f"{experiment.revision}:dvc.lock") or "{}")
    return is_evaluated(lock, experiment.params)


def is_evaluated(lock: dict[str, Any], params: Params) -> bool:
    """Whether what dvc.lock says of evaluate is of its own model and settings, not of an earlier run's."""
    try:
        stages = lock["stages"]
        made = {
            out["path"]: out["md5"] for stage in stages.values() for out in stage.get("outs", [])
        }
        used = {dep["path"]: dep["md5"] for dep in stages["evaluate"]["deps"]}
        settings = EvaluateParams.model_validate(
            stages["evaluate"]["params"][PARAMS_FILE]["evaluate"]
        )
    except (KeyError, TypeError, ValueError):
        return False
    return settings == params.evaluate and all(
        used[path] == made[path] for path in used.keys() & made.keys()
    )


def _git(root: str, *arguments: str) -> str | None:
    """What git prints, or None if it ends with another code than 0."""
    done = subprocess.run(["git", "-C", root, *arguments], capture_output=True, text=True)
    return done.stdout if done.returncode == 0 else None
