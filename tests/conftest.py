"""What several tests share: tiny parameters and a prepared tiny data set."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import settings

from support.clones import ROOT, TINY, with_values

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow as tf

settings.register_profile("petseg", derandomize=True, database=None, deadline=None)
settings.load_profile("petseg")
tf.config.threading.set_intra_op_parallelism_threads(
    2
)  # as in params.yaml; TensorFlow takes it only before it starts


# The files that take longest come first, so that at the end no worker is left alone with one of them.
_LONGEST = (
    "test_kills",
    "test_pipeline",
    "test_training",
    "test_cluster",
    "test_notebook",
    "test_bad_environment",
)


def pytest_collection_modifyitems(items):
    items.sort(
        key=lambda item: (
            _LONGEST.index(item.path.stem) if item.path.stem in _LONGEST else len(_LONGEST)
        )
    )


@pytest.fixture(scope="session")
def default_params() -> dict[str, Any]:
    """params.yaml as it is, but on drawn pets and without weights, whatever experiment has been run last."""
    raw = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    return with_values(raw, {key: TINY[key] for key in list(TINY)[:5]})


@pytest.fixture
def disk(tmp_path):
    """A disk of 64 KiB of its own, and what makes room on it or write-protects it."""
    path = tmp_path / "disk"
    path.mkdir()
    may_mount = ["mount", "-t", "tmpfs", "-o", "size=64k,mode=1777", "petseg-test", str(path)]
    root: list[str] = []
    if shutil.which("mount") is None or subprocess.run(may_mount, capture_output=True).returncode:
        root = ["sudo", "-n"]
        if (
            shutil.which("sudo") is None
            or subprocess.run([*root, *may_mount], capture_output=True).returncode
        ):
            reason = "no permission to mount a small disk"
            pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)

    def remount(options):
        subprocess.run([*root, "mount", "-o", f"remount,{options}", str(path)], check=True)

    yield path, remount
    subprocess.run([*root, "umount", "-l", str(path)], check=True)


@pytest.fixture(scope="session")
def tiny_params(default_params):
    from petseg.config.params import parse_params

    return parse_params(with_values(default_params, TINY))


@pytest.fixture(scope="session")
def tiny_raw(tiny_params, tmp_path_factory) -> Path:
    """A prepared data set of a few drawn pets."""
    from petseg.datasets.prepare import prepare_dataset

    raw = tmp_path_factory.mktemp("tiny") / "raw"
    prepare_dataset(tiny_params.dataset, raw, raw.parent / "archives")
    return raw


@pytest.fixture(scope="session")
def tiny_shards(tiny_params, tiny_raw, tmp_path_factory) -> Path:
    """The shards of that data set."""
    from petseg.preprocessing.preprocess import preprocess

    records = tmp_path_factory.mktemp("tiny") / "tfrecords"
    preprocess(tiny_params.preprocess, tiny_params.seed, tiny_raw, records)
    return records
