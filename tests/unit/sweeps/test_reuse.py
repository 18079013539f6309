"""Which experiments don't need to run again."""

import subprocess

import pytest
import yaml

from petseg.config.params import parse_params
from petseg.config.validation import read_yaml
from petseg.sweeps.dvc_compat import Experiment
from petseg.sweeps.reuse import find_reusable, is_evaluated
from support.project import ROOT, with_values

RAW = read_yaml(ROOT / "params.yaml")
LOCK = {
    "stages": {
        "train": {"outs": [{"path": "models/unet", "md5": "new.dir"}]},
        "evaluate": {
            "deps": [
                {"path": "models/unet", "md5": "new.dir"},
                {"path": "src/petseg/core", "md5": "1.dir"},
            ],
            "params": {"params.yaml": {"evaluate": RAW["evaluate"]}},
        },
    }
}


def params_with(**values):
    return parse_params(with_values(RAW, {k.replace("__", "."): v for k, v in values.items()}))


@pytest.fixture
def repository(tmp_path):
    """A git repository with one commit of code and a dvc.lock, and the commit's name."""
    (tmp_path / "code.py").write_text("1")
    (tmp_path / "dvc.lock").write_text(yaml.safe_dump(LOCK))
    git = ["git", "-C", str(tmp_path), "-c", "user.name=Test", "-c", "user.email=test@example.org"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "start"]):
        subprocess.run([*git, *command], check=True)
    head = [*git, "rev-parse", "HEAD"]
    return tmp_path, subprocess.run(head, capture_output=True, text=True, check=True).stdout.strip()


def test_an_experiment_with_the_same_parameters_and_code_is_reused(repository):
    folder, commit = repository
    params, other = params_with(train__epochs=2), params_with(train__epochs=3)
    finished = Experiment("finished", "success", commit, params)
    queued = Experiment("queued", "queued", commit, params)
    ended = [Experiment(state, state, commit, other) for state in ("lost", "failed")]
    unreadable = Experiment("unreadable", "success", commit)
    experiments = [queued, finished, *ended, unreadable]
    assert find_reusable([params, other], experiments, str(folder)) == [finished, None]
    (folder / "dvc.lock").write_text("new")
    assert find_reusable([params], [finished], str(folder)) == [finished]
    (folder / "code.py").write_text("2")
    assert find_reusable([params], [finished, queued], str(folder)) == [None]


def test_user_images_are_left_to_dvc(repository):
    folder, commit = repository
    params = params_with(dataset__name="folder", dataset__folder__path=str(folder))
    experiments = [Experiment("a", "success", commit, params)]
    assert find_reusable([params], experiments, str(folder)) == [None]


OLD_MODEL = [{"path": "models/unet", "md5": "old.dir"}]


@pytest.mark.parametrize(
    ("lock", "values", "expected"),
    [
        (LOCK, {}, True),
        (with_values(LOCK, {"stages.train.outs": OLD_MODEL}), {}, False),
        (LOCK, {"evaluate__tta__flip": not RAW["evaluate"]["tta"]["flip"]}, False),
        ({"stages": {"train": LOCK["stages"]["train"]}}, {}, False),
        ({}, {}, False),
    ],
    ids=["current", "another model", "other settings", "not evaluated", "empty"],
)
def test_metrics_must_come_from_the_same_model_and_settings(lock, values, expected):
    assert is_evaluated(lock, params_with(**values)) == expected
