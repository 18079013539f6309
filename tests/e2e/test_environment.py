"""Full disks, read-only folders, a strange or missing home folder."""

import hashlib
import os
import subprocess
import sys
from dataclasses import replace

import keras
import numpy as np
import pandas as pd
import pytest
import yaml

from petseg.config.paths import PipelinePaths
from petseg.core.errors import PetsegError, explain
from petseg.datasets.prepare import prepare_dataset
from petseg.evaluation.evaluate import evaluate
from petseg.model.saved import load_model, save_model
from petseg.prediction.tta import NO_TTA
from petseg.preprocessing.preprocess import preprocess
from petseg.rendering.charts import draw_confusion
from petseg.rendering.render import render
from petseg.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from petseg.training.history import Epoch, write_history
from support.home import strange_home
from support.project import ROOT
from support.robustness import matches

SECTION = "Archives and environment"
CASES = {
    "full disk": '"The disk is full…; free some space, then run dvc repro again." It resumes from there. Nothing half-written stays; checkpoints and earlier results do.',
    "read-only folder": '"Access denied… (Read-only file system); change the permissions, then run dvc repro again."',
    "a file where a folder should be": '"A file or folder is in the way at … (…); move it, then run dvc repro again."',
    "no HOME": "No stage needs it.",
    "settings in the home folder": "Those of Keras and matplotlib are ignored: they would change results.",
}  # fmt: skip

ROW = Epoch(1, 0.1, 1.0, 0.2, 1.1, 0.3, 0.4)
WRITERS = ["data/raw", "shards", "checkpoint", "history", "model", "tables", "images"]


@pytest.fixture
def write(tiny_params, tiny_raw, tiny_run, tmp_path, monkeypatch):
    """Functions that write one kind of out to a folder."""
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    numbers = np.random.default_rng(0).normal(size=10_000)

    def outs_in(folder):
        return replace(PipelinePaths.under(folder), shards=tiny_run.shards, model=tiny_run.model)

    def write_images(folder):
        tables = {name: getattr(tiny_run, name) for name in ("per_image", "history", "confusion")}
        render(tiny_params.render, NO_TTA, replace(outs_in(folder), **tables))

    return {
        "data/raw": lambda folder: prepare_dataset(
            tiny_params.dataset, folder / "raw", tmp_path / "archives"
        ),
        "shards": lambda folder: preprocess(
            tiny_params.preprocess, 0, tiny_raw, folder / "tfrecords"
        ),
        "checkpoint": lambda folder: save_checkpoint(
            Checkpoint([ROW], {"network": [numbers]}), folder / "backup"
        ),
        "history": lambda folder: write_history([ROW] * 2000, folder / "history.csv"),
        "model": lambda folder: save_model(load_model(tiny_run.model), folder / "model"),
        "tables": lambda folder: evaluate(tiny_params.evaluate, outs_in(folder)),
        "images": write_images,
    }


def files_in(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("kind", WRITERS)
def test_a_full_disk_leaves_nothing_half_written_and_freeing_space_is_enough(write, disk, kind):
    path, remount = disk
    ballast = path / "ballast"
    ballast.write_bytes(bytes(44 * 1024 if kind != "tables" else 60 * 1024))
    with pytest.raises(Exception) as caught:  # noqa: PT011 (whatever it is, it is explained)
        write[kind](path)
    error = caught.value
    message = str(error) if isinstance(error, PetsegError) else explain(error)
    assert message is not None, repr(error)
    if not isinstance(error, PetsegError):
        assert matches(CASES["full disk"], message, path)
    assert "disk" in message
    assert "full" in message
    assert not [name for name in files_in(path) if "partial" in name]
    if kind in ("data/raw", "shards", "checkpoint", "history", "model"):
        assert files_in(path) == ["ballast"]
    remount("size=64m")
    write[kind](path)
    assert len(files_in(path)) > 1


@pytest.mark.parametrize("kind", WRITERS)
def test_a_read_only_folder_is_explained(write, disk, kind):
    path, remount = disk
    remount("ro")
    with pytest.raises(Exception) as caught:  # noqa: PT011
        write[kind](path)
    message = explain(caught.value)
    assert message is not None, repr(caught.value)
    assert matches(CASES["read-only folder"], message, path), message
    remount("rw,size=64m")
    write[kind](path)
    assert files_in(path)


@pytest.mark.parametrize("kind", ["shards", "history", "checkpoint"])
def test_a_file_in_place_of_a_folder_is_explained(write, tmp_path, kind):
    (tmp_path / "here").write_text("a file")
    with pytest.raises(OSError) as caught:  # noqa: PT011
        write[kind](tmp_path / "here")
    assert matches(CASES["a file where a folder should be"], explain(caught.value), tmp_path)


def test_a_full_disk_keeps_the_previous_checkpoint(disk):
    path, _ = disk
    state = Checkpoint([ROW], {"network": [np.arange(4000.0)]})
    save_checkpoint(state, path)
    (path / "ballast").write_bytes(bytes(12 * 1024))
    with pytest.raises(OSError, match="No space left"):
        save_checkpoint(Checkpoint([ROW, ROW], state.arrays), path)
    assert load_checkpoint(path).history == [ROW]


def run_without_environment(argv, folder, **environment):
    kept = {key: value for key, value in os.environ.items() if key not in ("DVC_ROOT", "HOME")}
    return subprocess.run(
        [sys.executable, *argv], cwd=folder, env=kept | environment, capture_output=True, text=True
    )


def test_a_stage_needs_no_home_folder_and_prints_no_warning(tiny_params, tmp_path):
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(tiny_params.model_dump(mode="json")))
    script = ROOT / "stages" / "download.py"
    done = run_without_environment([str(script)], tmp_path, HOME="/nonexistent")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


SETTINGS = """
import hashlib, keras, pandas as pd
import petseg.model
from petseg.rendering.charts import draw_confusion
chart = draw_confusion(pd.DataFrame({"truth": ["a"], "prediction": ["a"], "share": [1.0]}))
print(keras.config.floatx(), keras.config.image_data_format(), keras.config.epsilon(), hashlib.sha256(chart).hexdigest())
"""


def test_settings_in_the_home_folder_change_nothing(tmp_path):
    strange_home(tmp_path)
    environment = {"HOME": str(tmp_path), "PYTHONPATH": str(ROOT / "src")}
    done = run_without_environment(["-c", SETTINGS], tmp_path, **environment)
    chart = draw_confusion(pd.DataFrame({"truth": ["a"], "prediction": ["a"], "share": [1.0]}))
    here = (
        keras.config.floatx(),
        keras.config.image_data_format(),
        str(keras.config.epsilon()),
        hashlib.sha256(chart).hexdigest(),
    )
    assert done.stdout.split() == ["float32", "channels_last", "1e-07", here[3]], done.stderr
    assert done.stdout.split() == list(here)
