"""A sweep's combinations and its table; tests/e2e/test_sweep.py runs one in DVC's queue."""

import pytest

from petseg.core.errors import PetsegError
from petseg.sweeps.dvc_compat import Experiment
from petseg.sweeps.sweep import check_metric, expand, tabulate
from support.project import ROOT

PARAMS = ROOT / "params.yaml"


def test_every_combination_is_listed_once():
    made = expand(["train.epochs=2,3,2", "model.alpha=0.5,1.0", "seed=7"], PARAMS)
    values = [(c.params.train.epochs, c.params.model.alpha, c.params.seed) for c in made]
    assert sorted(values) == [(2, 0.5, 7), (2, 1.0, 7), (3, 0.5, 7), (3, 1.0, 7)]
    assert str(made[0]) == "train.epochs=2 model.alpha=0.5 seed=7"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["train.epochs=1,x"], "params.yaml with train.epochs=x: train.epochs is 'x', but must be a whole number"),
        (["train.warmup_epochs=50"], "params.yaml with train.warmup_epochs=50: train.warmup_epochs is 50.0, but must be at most train.epochs"),
        (["train.epoch=1"], "train.epoch=1: Could not override 'train.epoch'; use a key of params.yaml."),
        (["train.epochs"], "Can't parse --set-param ("),
        (["train.epochs=1,"], "Can't parse --set-param ("),
    ],
)  # fmt: skip
def test_an_invalid_setting_is_reported_before_anything_is_queued(settings, message):
    with pytest.raises(PetsegError) as caught:
        expand(settings, PARAMS)
    assert str(caught.value).startswith(message)


FINISHED = [
    Experiment("a", "success", metrics={"val.mean_iou": 0.5, "val.loss": 0.2, "device": "CPU"}),
    Experiment("b", "failed"),
    Experiment("c", "success", metrics={"val.mean_iou": 0.7, "val.loss": 0.9}),
]


@pytest.mark.parametrize(
    ("metric", "names", "epochs"),
    [("val.mean_iou", ["c", "a", "b"], [4, 2, 3]), ("val.loss", ["a", "c", "b"], [2, 4, 3])],
)
def test_the_table_starts_with_the_best_and_ends_with_what_failed(metric, names, epochs):
    table = tabulate(expand(["train.epochs=2,3,4"], PARAMS), FINISHED, metric)
    assert list(table.columns) == ["experiment", "state", metric, "train.epochs"]
    assert list(table["experiment"]) == names
    assert list(table["train.epochs"]) == epochs


@pytest.mark.parametrize("metric", ["val.mean_iuo", "device"])
def test_an_unknown_metric_is_reported_with_the_known_ones(metric):
    message = f"--metric is {metric}, but must be .*: val.loss, val.mean_iou"
    with pytest.raises(PetsegError, match=message):
        check_metric(metric, FINISHED)


def test_a_metric_is_not_checked_before_anything_has_finished():
    check_metric("val.mean_iuo", FINISHED[1:2])
