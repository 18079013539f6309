"""Fixtures for all tests: tiny parameters, a tiny data set, a tiny model, a small disk."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import settings

from petseg.config.paths import PipelinePaths
from petseg.core.tf_import import import_tensorflow
from support.once import make_once
from support.project import ROOT, TINY, with_values

# Tests compare bits and device names of the CPU. Processes that they start see no GPU either.
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"

settings.register_profile("petseg", derandomize=True, database=None, deadline=None)
settings.load_profile("petseg")


def pytest_configure(config):
    if config.getoption("numprocesses", None):  # xdist's controller runs no tests
        return
    import_tensorflow()
    import tensorflow as tf

    # As in params.yaml. TensorFlow takes it only before it starts.
    tf.config.threading.set_intra_op_parallelism_threads(2)


@pytest.fixture(scope="session")
def default_params() -> dict[str, Any]:
    """params.yaml, but for drawn pets and without weights, whatever experiment ran last."""
    raw = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    return with_values(raw, {key: TINY[key] for key in list(TINY)[:5]})


@pytest.fixture
def disk(tmp_path):
    """A mounted disk of 64 KiB, and a function that remounts it with other options."""
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

    def prepare(raw: Path) -> None:
        prepare_dataset(tiny_params.dataset, raw, raw.parent / "archives")

    return make_once(tmp_path_factory, "raw", prepare)


@pytest.fixture(scope="session")
def tiny_shards(tiny_params, tiny_raw, tmp_path_factory) -> Path:
    """The shards of that data set."""
    from petseg.preprocessing.preprocess import preprocess

    def write(shards: Path) -> None:
        preprocess(tiny_params.preprocess, tiny_params.seed, tiny_raw, shards)

    return make_once(tmp_path_factory, "tfrecords", write)


@pytest.fixture(scope="session")
def tiled_shards(tiny_params, tiny_raw, tmp_path_factory) -> Path:
    """The shards of that data set in four tiles per image."""
    from petseg.preprocessing.preprocess import preprocess
    from support.tiles import tile_params

    def write(shards: Path) -> None:
        preprocess(tile_params(tiny_params), tiny_params.seed, tiny_raw, shards)

    return make_once(tmp_path_factory, "tiles", write)


@pytest.fixture
def small_encoder() -> Iterator[None]:
    """MobileNetV2 is replaced by a small encoder in this test."""
    from support import encoders

    with encoders.small_encoder():
        yield


@pytest.fixture(scope="session")
def evaluated_run(tiny_params, tiny_shards, tmp_path_factory) -> PipelinePaths:
    """The paths of an untrained tiny model and what train and evaluate write for it.

    Whatever loads the model also needs the fixture `small_encoder`. Don't change the files.
    """
    from support.encoders import small_encoder
    from support.models import evaluate_tiny_model

    def run(folder: Path) -> None:
        with small_encoder():
            evaluate_tiny_model(tiny_params, tiny_shards, folder)

    folder = make_once(tmp_path_factory, "run", run)
    return replace(PipelinePaths.under(folder), shards=tiny_shards)


@pytest.fixture(scope="session")
def exported_run(evaluated_run, tmp_path_factory) -> PipelinePaths:
    """`evaluated_run` with exported files in all formats. They need no fixture. Don't change it."""
    from petseg.config.params import ExportParams
    from petseg.exporting.export import export
    from petseg.exporting.exported import FILE_NAMES
    from support.encoders import small_encoder

    def paths_in(folder: Path) -> PipelinePaths:
        outs = PipelinePaths.under(folder)
        return replace(evaluated_run, exported=outs.exported, export_metrics=outs.export_metrics)

    def run(folder: Path) -> None:
        params = ExportParams(formats=tuple(FILE_NAMES), calibration_images=8, test_images=6)
        with small_encoder():
            export(params, paths_in(folder))

    return paths_in(make_once(tmp_path_factory, "exported", run))


@pytest.fixture
def tiny_run(evaluated_run, small_encoder) -> PipelinePaths:
    """The paths of `evaluated_run`, and its model can be loaded."""
    return evaluated_run


@pytest.fixture
def tiny_model(tiny_run) -> Path:
    """The folder of an untrained tiny model with the small encoder. Don't change it."""
    return tiny_run.model
