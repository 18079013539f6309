"""Find experiments that don't need to run again."""

import subprocess
from collections.abc import Iterable, Sequence
from typing import Any

from petseg.config.params import EvaluateParams, Params
from petseg.config.validation import parse_yaml
from petseg.sweeps.dvc_compat import ACTIVE, PARAMS_FILE, Experiment

_OUTPUTS = ("dvc.lock", PARAMS_FILE, "metrics", "plots")  # tracked files that experiments change


def find_reusable(
    wanted: Sequence[Params], experiments: Iterable[Experiment], root: str
) -> list[Experiment | None]:
    """For each set of parameters, return a finished, running or queued experiment, or None.

    It has the same parameters and the same files in git as the workspace in `root`. A finished
    experiment is preferred to a running one, and a running one to a queued one.
    """
    order = ["success", *ACTIVE]
    usable = [experiment for experiment in experiments if experiment.state in order]
    usable.sort(key=lambda experiment: order.index(experiment.state))

    def find(params: Params) -> Experiment | None:
        matching = (experiment for experiment in usable if experiment.params == params)
        return next((found for found in matching if _is_current(found, root)), None)

    return [find(params) for params in wanted]


def _is_current(experiment: Experiment, root: str) -> bool:
    if experiment.params is None or experiment.params.dataset.name == "folder":
        return False  # the user's images may have changed: DVC will check
    excluded = [f":(exclude){path}" for path in _OUTPUTS]
    if _git(root, "diff", "--quiet", experiment.revision, "--", ".", *excluded) is None:
        return False
    if experiment.state in ACTIVE:
        return True
    file = f"{experiment.revision}:dvc.lock"
    return is_evaluated(parse_yaml(_git(root, "show", file) or "{}", file), experiment.params)


def is_evaluated(lock: dict[str, Any], params: Params) -> bool:
    """Return whether dvc.lock's evaluate stage used these settings and the stages' outputs."""
    try:
        stages = lock["stages"]
        evaluate = stages["evaluate"]
        settings = EvaluateParams.model_validate(evaluate["params"][PARAMS_FILE]["evaluate"])
        outs = [out for stage in stages.values() for out in stage.get("outs", [])]
        written = {out["path"]: out["md5"] for out in outs}
        used = {dep["path"]: dep["md5"] for dep in evaluate["deps"]}
    except (KeyError, TypeError, ValueError):
        return False
    return settings == params.evaluate and all(
        used[path] == written[path] for path in used.keys() & written.keys()
    )


def _git(root: str, *arguments: str) -> str | None:
    """Return what git prints, or None if its exit code isn't 0."""
    done = subprocess.run(["git", "-C", root, *arguments], capture_output=True, text=True)
    return done.stdout if done.returncode == 0 else None
