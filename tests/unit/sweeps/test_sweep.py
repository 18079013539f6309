"""A sweep's combinations and its table; tests/e2e/test_sweep.py runs one in DVC's queue."""

import shutil

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


def test_relative_paths_become_absolute_because_the_queue_runs_copies(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(PARAMS, tmp_path)
    for name in ("Ana's photos", "start"):
        (tmp_path / name).mkdir()
    (tmp_path / "start" / "model.json").touch()
    settings = ["dataset.name=folder,synthetic_pets", r"dataset.folder.path='Ana\'s photos'"]
    folder, pets = expand([*settings, "model.weights=start"], tmp_path / "params.yaml")
    assert folder.params.dataset.folder.path == f"{tmp_path}/Ana's photos"
    assert {c.params.model.weights for c in (folder, pets)} == {f"{tmp_path}/start"}
    assert pets.params.dataset.folder.path == "Ana's photos"
    assert [path.split("=")[0] for path in folder.paths] == ["dataset.folder.path", "model.weights"]
    again = expand(folder.paths, tmp_path / "params.yaml")
    assert again[0].params.dataset.folder.path == f"{tmp_path}/Ana's photos"


FINISHED = [
    Experiment(
        "a",
        "success",
        metrics={"val.mean_iou": 0.5, "val.loss": 0.2, "device": "CPU", "deterministic": True},
    ),
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


def test_the_table_holds_swept_tables_and_lists_as_text():
    settings = ["train.loss.class_weights={pet: 5},{border: 5}", "model.decoder_filters=[8,8]"]
    table = tabulate(expand(settings, PARAMS), FINISHED[:2], "val.mean_iou")
    assert sorted(table["train.loss.class_weights"]) == ['{"border": 5.0}', '{"pet": 5.0}']
    assert set(table["model.decoder_filters"]) == {"[8, 8]"}


@pytest.mark.parametrize("metric", ["val.mean_iuo", "device", "deterministic"])
def test_an_unknown_metric_is_reported_with_the_known_ones(metric):
    message = f"--metric is {metric}, but must be .*: val.loss, val.mean_iou\\."
    with pytest.raises(PetsegError, match=message):
        check_metric(metric, FINISHED)


def test_a_metric_is_not_checked_before_anything_has_finished():
    check_metric("val.mean_iuo", FINISHED[1:2])
