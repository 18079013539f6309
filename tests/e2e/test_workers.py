"""Two processes train together over loopback; tests/soak/test_workers.py has the longer proofs."""

import json

import pytest

from petseg.config.params import parse_params
from support.workers import (
    lose_worker,
    losses_of,
    make_shards,
    start_workers,
    tiny_settings,
    train_in_float64,
)

SETTINGS = {
    "train__epochs": 2,
    "train__oversample_below": 0.3,
    "train__loss__class_weights": "balanced",
    "train__warmup_epochs": 1,
    "train__checkpoint_every_steps": 2,
    "train__preview_images": 1,
    "model__decoder_filters": (8, 8),
}


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return make_shards(tmp_path_factory.mktemp("workers"), 2)


def files_of(home):
    return sorted(str(path.relative_to(home)) for path in home.rglob("*") if path.is_file())


def test_two_workers_compute_the_same_as_one_and_only_the_chief_writes(tmp_path, shards):
    first, second = losses_of(start_workers(tmp_path, shards, 2, **SETTINGS))
    params = parse_params(tiny_settings(**SETTINGS))
    single = train_in_float64(params, shards, tmp_path / "single", encoder="small")
    assert len(single) == 2 * (3 + 2)  # training steps and validation batches
    assert first == second
    assert first == pytest.approx(single, abs=1e-7)
    chief, single_metrics = (
        json.loads((tmp_path / name / "metrics" / "train.json").read_text())
        for name in ("worker0", "single")
    )
    assert chief["environment"].startswith("2 workers, ")
    assert {**chief, "environment": ""} == {**single_metrics, "environment": ""}
    written = [
        name
        for name in files_of(tmp_path / "worker0")
        if not name.startswith((".backup/", ".cache/"))
    ]
    assert written == [
        "metrics/train.json",
        "models/unet/model.json",
        "models/unet/model.weights.h5",
        "params.yaml",
        "plots/history.csv",
        "previews/epoch_001.png",
        "previews/epoch_002.png",
    ]
    assert files_of(tmp_path / "worker1") == ["params.yaml"]


def test_a_lost_worker_stops_the_other_with_an_error(tmp_path, shards):
    message = lose_worker(1, tmp_path, shards, **SETTINGS)
    assert "One of the 2 workers was lost" in message
    assert "restart all of them" in message
