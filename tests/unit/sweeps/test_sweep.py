"""What `petseg sweep` does beside DVC's queue; with it, it runs in test_kills.py."""

import subprocess

import numpy as np
import pandas as pd
import pytest
import yaml

from petseg.config.params import parse_params
from petseg.config.validation import read_yaml
from petseg.core.errors import PetsegError
from petseg.sweeps.chart import draw_parallel_coordinates, line_heights
from petseg.sweeps.dvc_compat import Experiment
from petseg.sweeps.gpus import assign_gpus
from petseg.sweeps.reuse import find_reusable, is_evaluated
from petseg.sweeps.sweep import expand, tabulate
from support.project import ROOT, with_values

PARAMS = ROOT / "params.yaml"


def test_every_combination_is_made():
    made = expand(["train.epochs=2,3", "model.alpha=0.5,1.0", "seed=7"], PARAMS)
    assert {(one.params.train.epochs, one.params.model.alpha, one.params.seed) for one in made} == {
        (2, 0.5, 7), (2, 1.0, 7), (3, 0.5, 7), (3, 1.0, 7),
    }  # fmt: skip
    assert str(made[0]) == "train.epochs=2 model.alpha=0.5 seed=7"


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (
            ["train.epochs=1,x"],
            "params.yaml with train.epochs=x: train.epochs is 'x', but must be a whole number",
        ),
        (
            ["train.warmup_epochs=50"],
            "params.yaml with train.warmup_epochs=50: train.warmup_epochs is 50.0, but must be at most train.epochs",
        ),
        (
            ["train.epoch=1"],
            "train.epoch=1: Could not override 'train.epoch'; params.yaml has the parameters.",
        ),
        (["train.epochs"], "--set-param can't be read"),
        (["train.epochs=1,"], "--set-param can't be read"),
    ],
)
def test_a_mistake_is_told_before_anything_is_queued(settings, sentence):
    with pytest.raises(PetsegError, match=r"\A" + sentence.replace("(", r"\(")):
        expand(settings, PARAMS)


def test_workers_share_the_gpus_out():
    gpus = ["0", "1", "2", "3", "4"]
    assert [assign_gpus(gpus, worker, 2) for worker in range(2)] == [["0", "2", "4"], ["1", "3"]]
    assert [assign_gpus(["0", "1"], worker, 3) for worker in range(3)] == [["0"], ["1"], ["0"]]
    assert assign_gpus([], 0, 2) == []


LOCK = {
    "stages": {
        "train": {"outs": [{"path": "models/unet", "md5": "new.dir"}]},
        "evaluate": {
            "deps": [
                {"path": "models/unet", "md5": "new.dir"},
                {"path": "src/petseg/errors.py", "md5": "1"},
            ],
            "params": {"params.yaml": {"evaluate": read_yaml(PARAMS)["evaluate"]}},
        },
    }
}


@pytest.fixture
def repository(tmp_path):
    """A git repository with one commit of code and a result, and the commit's name."""
    (tmp_path / "code.py").write_text("1")
    (tmp_path / "dvc.lock").write_text(yaml.safe_dump(LOCK))
    git = ["git", "-C", str(tmp_path), "-c", "user.name=Test", "-c", "user.email=test@example.org"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "start"]):
        subprocess.run([*git, *command], check=True)
    commit = subprocess.run(
        [*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True
    ).stdout.strip()
    return tmp_path, commit


def test_what_has_been_run_with_the_same_parameters_and_code_stands(repository):
    folder, commit = repository
    one, other = (made.params for made in expand(["train.epochs=2,3"], PARAMS))
    finished = Experiment("finished", "success", commit, one)
    waiting = Experiment("waiting", "queued", commit, one)
    ended = [Experiment(state, state, commit, other) for state in ("lost", "failed")]
    unreadable = Experiment("unreadable", "success", commit)
    assert find_reusable([one, other], [waiting, finished, *ended, unreadable], str(folder)) == [
        finished,
        None,
    ]
    (folder / "dvc.lock").write_text("new")
    assert find_reusable([one], [finished], str(folder)) == [finished]
    (folder / "code.py").write_text("2")
    assert find_reusable([one], [finished, waiting], str(folder)) == [None]


def test_metrics_of_another_model_or_other_settings_are_not_taken_for_its_own():
    [one] = expand(["train.epochs=2"], PARAMS)
    assert is_evaluated(LOCK, one.params)
    assert not is_evaluated(
        with_values(LOCK, {"stages.train.outs": [{"path": "models/unet", "md5": "x.dir"}]}),
        one.params,
    )
    [other] = expand(["evaluate.tta.flip=true"], PARAMS)
    assert not is_evaluated(LOCK, other.params)
    assert not is_evaluated({"stages": {"train": LOCK["stages"]["train"]}}, one.params)
    assert not is_evaluated({}, one.params)


def test_pictures_of_one_s_own_are_left_to_dvc(repository):
    folder, commit = repository
    raw = with_values(
        read_yaml(PARAMS), {"dataset.name": "folder", "dataset.folder.path": str(folder)}
    )
    params = parse_params(raw)
    assert find_reusable([params], [Experiment("a", "success", commit, params)], str(folder)) == [
        None
    ]


def test_the_table_begins_with_the_best_and_ends_with_what_failed():
    made = expand(["train.epochs=2,3,4"], PARAMS)
    found = [
        Experiment("a", "success", metrics={"val.mean_iou": 0.5}),
        Experiment("b", "failed"),
        Experiment("c", "success", metrics={"val.mean_iou": 0.7}),
    ]
    table = tabulate(made, found, "val.mean_iou")
    assert list(table["experiment"]) == ["c", "a", "b"]
    assert list(table["train.epochs"]) == [4, 2, 3]
    assert list(table.columns) == ["experiment", "state", "val.mean_iou", "train.epochs"]
    with pytest.raises(
        PetsegError,
        match=r"--metric x is no number of the finished experiments; there are val.mean_iou\.",
    ):
        tabulate(made, found, "x")


def test_of_losses_the_smallest_comes_first_and_a_text_is_refused():
    made = expand(["train.epochs=2,2,3"], PARAMS)
    assert len(made) == 2
    found = [
        Experiment(name, "success", metrics={"val_loss": loss, "environment": "CPU"})
        for name, loss in (("a", 0.9), ("b", 0.1))
    ]
    assert list(tabulate(made, found, "val_loss")["experiment"]) == ["b", "a"]
    with pytest.raises(PetsegError, match=r"--metric environment is no number"):
        tabulate(made, found, "environment")


def test_a_chart_s_lines_go_through_their_own_values():
    table = pd.DataFrame(
        {
            "rate": [0.1, 0.02, 0.1],
            "decoder": ["full", "full", "separable"],
            "score": [0.5, 0.9, 0.7],
        },
        index=[2, 0, 1],
    )
    heights = line_heights(table, ["rate", "decoder"], "score")
    assert np.allclose(heights[:, 0], [0.75, 0.25, 0.75])
    assert np.allclose(heights[:, 1], [0.25, 0.25, 0.75])
    assert np.allclose(heights[:, 2], [0.05 / 1.1, 1.05 / 1.1, 0.5])
    assert draw_parallel_coordinates(table, ["rate", "decoder"], "score").startswith(b"\x89PNG")
    assert np.allclose(line_heights(table[:1], ["rate"], "score"), 0.5)
