"""What several tests share: tiny parameters and a prepared tiny data set."""

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import settings

from clones import ROOT, TINY, with_values

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow as tf

settings.register_profile("petseg", derandomize=True, database=None, deadline=None)
settings.load_profile("petseg")
tf.config.threading.set_intra_op_parallelism_threads(2)  # as in params.yaml; TensorFlow takes it only before it starts


@pytest.fixture(scope="session")
def default_params() -> dict[str, Any]:
    """params.yaml as it is, but on drawn pets and without weights, whatever experiment has been run last."""
    raw = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    return with_values(raw, {key: TINY[key] for key in list(TINY)[:5]})


@pytest.fixture(scope="session")
def tiny_params(default_params):
    from petseg.params import parse_params

    return parse_params(with_values(default_params, TINY))


@pytest.fixture(scope="session")
def tiny_raw(tiny_params, tmp_path_factory) -> Path:
    """A prepared data set of a few drawn pets."""
    from petseg.datasets.prepare import prepare_dataset

    raw = tmp_path_factory.mktemp("tiny") / "raw"
    prepare_dataset(tiny_params.dataset, raw, raw.parent / "archives")
    return raw


@pytest.fixture(scope="session")
def tiny_records(tiny_params, tiny_raw, tmp_path_factory) -> Path:
    """The shards of that data set."""
    from petseg.records.preprocess import preprocess

    records = tmp_path_factory.mktemp("tiny") / "tfrecords"
    preprocess(tiny_params.preprocess, tiny_params.seed, tiny_raw, records)
    return records
