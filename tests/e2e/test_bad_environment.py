"""A full disk, a read-only folder, archives of others, a second process.

What is promised for each stands in docs/robustness.md.
"""

import errno
import gzip
import io
import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
import yaml
from tensorflow_datasets.core.download import checksums

from petseg.core.atomic_io import atomic_directory, atomic_write
from petseg.core.errors import PetsegError, explain
from petseg.core.locks import exclusive_lock
from petseg.datasets import prepare
from petseg.datasets.oxford import oxford_builder
from petseg.datasets.prepare import prepare_dataset
from petseg.evaluation.evaluate import evaluate
from petseg.model.saved import SavedModel, load_model, save_model
from petseg.model.unet import build_unet
from petseg.prediction.tta import NO_TTA
from petseg.preprocessing.preprocess import preprocess
from petseg.rendering.render import render
from petseg.training.checkpoint import State, load_checkpoint, save_checkpoint
from petseg.training.history import Epoch, write_history
from support.datasets import draw_oxford_folder, pack
from support.home import strange_home
from support.project import ROOT
from support.robustness import matches

SECTION = "Archives and environment"
CASES = {
    "archive that climbs out": "Not opened: its checksum is not the published one. Where it is known, TFDS refuses it.",
    "archive with an absolute path": "Likewise; nothing is written outside its folder.",
    "archive with a symbolic link": "Likewise; TFDS unpacks no links.",
    "archive with a hard link": "Likewise.",
    "archive with a device": "Likewise.",
    "archive that is a bomb": "Not opened: its checksum is not the published one.",
    "disk full": "\"The disk is full at ...; make room, then run dvc repro again.\" It goes on from there. Nothing half-written stays, checkpoints and earlier results do.",
    "read-only folder": "\"No permission at ... (Read-only file system); allow it, then run dvc repro again.\"",
    "a file in the place of a folder": "\"A file or folder is in the way at ... (...); move it, then run dvc repro again.\"",
    "disk full while DVC stores a model": "DVC's own words: \"ERROR: failed to transfer ... No space left on device\"; then DVC 3.67 goes on as if it had stored it. The finished training stays until the model is in the cache: dvc repro trains nothing again.",
    "an out of the stage before missing": "… is missing or damaged; bring it back with dvc checkout --force, or ….",
    "no HOME": "Nothing is needed there, by any stage.",
    "settings in the home folder": "Those of Keras and matplotlib are not heeded: they would change results.",
    "two stages at once": "\"Another process runs a stage of this project in this folder; wait until it has ended, or stop it.\"",
    "DVC's cache deleted": "What is missing is made again, with the same bytes.",
    "DVC's cache corrupted": "DVC notices and runs the stage again; what it doesn't notice, the checksums of shards and model tell.",
    "dvc.lock torn": "DVC names the file (\"... is invalid\"); git checkout dvc.lock, then dvc repro trains nothing again.",
    "two dvc repro at once": "DVC's own words: \"... is busy, it is being blocked by: (PID ...)\"; the first one goes on.",
}  # fmt: skip

ROW = Epoch(1, 0.1, 1.0, 0.2, 1.1, 0.3, 0.4)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("environment") / "model"
    save_model(SavedModel(build_unet(ARCHITECTURE), ARCHITECTURE, CLASSES, 32), folder)
    return folder


WRITERS = ["data/raw", "shards", "checkpoint", "history", "model", "tables", "pictures"]


@pytest.fixture
def write(tiny_params, tiny_raw, tiny_shards, model, tmp_path):
    """Write one kind of out to a folder."""

    def tables(folder):
        evaluate(tiny_params.evaluate, tiny_shards, model, evaluate_outs(folder))

    def pictures(folder):
        tables(tmp_path)
        write_history([ROW], tmp_path / "history.csv")
        files = [tmp_path / name for name in ("images.csv", "history.csv", "confusion.csv")]
        render(tiny_params.render, NO_TTA, RenderInputs(tiny_shards, model, *files), folder)

    saved = load_model(model)
    numbers = np.random.default_rng(0).normal(size=10_000)
    return {
        "data/raw": lambda folder: prepare_dataset(
            tiny_params.dataset, folder / "raw", tmp_path / "archives"
        ),
        "shards": lambda folder: preprocess(
            tiny_params.preprocess, 0, tiny_raw, folder / "tfrecords"
        ),
        "checkpoint": lambda folder: save_checkpoint(
            State([ROW], {"network": [numbers]}), folder / "backup"
        ),
        "history": lambda folder: write_history([ROW] * 2000, folder / "history.csv"),
        "model": lambda folder: save_model(saved, folder / "model"),
        "tables": tables,
        "pictures": pictures,
    }


def promised(case, sentence):
    """Whether a sentence is the one that docs/robustness.md has in quotes; " at ..." stands for a place, if it is known."""
    quoted = re.match(r'"(.*)"', CASES[case])[1]
    return matches(quoted.replace(" at ...", "…").replace("...", "…"), sentence, Path())


def files_in(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("kind", WRITERS)
def test_a_full_disk_is_told_leaves_nothing_half_written_and_more_room_is_all_it_takes(
    write, disk, kind, monkeypatch
):
    path, remount = disk
    monkeypatch.setenv("DVC_ROOT", str(path.parent))
    ballast = path / "ballast"
    ballast.write_bytes(bytes(44 * 1024 if kind != "tables" else 60 * 1024))
    with pytest.raises(Exception) as caught:  # noqa: PT011 (whatever it is, it is explained)
        write[kind](path)
    error = caught.value
    sentence = str(error) if isinstance(error, PetsegError) else explain(error)
    assert sentence is not None, repr(error)
    if not isinstance(error, PetsegError):
        assert promised("disk full", sentence)
    assert "disk" in sentence
    assert "full" in sentence
    assert not [name for name in files_in(path) if "partial" in name]
    if kind in ("data/raw", "shards", "checkpoint", "history", "model"):
        assert files_in(path) == ["ballast"]
    remount("size=64m")
    write[kind](path)
    assert len(files_in(path)) > 1


@pytest.mark.parametrize("kind", WRITERS)
def test_a_read_only_folder_is_told(write, disk, kind, monkeypatch):
    path, remount = disk
    monkeypatch.setenv("DVC_ROOT", str(path.parent))
    remount("ro")
    with pytest.raises(Exception) as caught:  # noqa: PT011
        write[kind](path)
    sentence = explain(caught.value)
    assert sentence is not None, repr(caught.value)
    assert promised("read-only folder", sentence)
    remount("rw,size=64m")
    write[kind](path)
    assert files_in(path)


def run_stage(stage, folder, **environment):
    kept = {key: value for key, value in os.environ.items() if key not in ("DVC_ROOT", "HOME")}
    return subprocess.run(
        [sys.executable, str(ROOT / "stages" / f"{stage}.py")], cwd=folder, env=kept | environment,
        capture_output=True, text=True,
    )  # fmt: skip


def test_a_stage_on_a_full_disk_ends_with_one_sentence_and_1(tiny_params, disk):
    path, remount = disk
    (path / "params.yaml").write_text(yaml.safe_dump(tiny_params.model_dump(mode="json")))
    (path / "ballast").write_bytes(bytes(40 * 1024))
    done = run_stage("download", path)
    assert done.returncode == 1
    assert "The disk is full" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert "Traceback" not in done.stderr
    assert not (path / "data" / "raw").exists()
    remount("size=64m")
    assert run_stage("download", path).returncode == 0


def test_a_file_in_the_place_of_a_folder_is_told(write, tmp_path):
    (tmp_path / "here").write_text("a file")
    for kind in ("shards", "history", "checkpoint"):
        with pytest.raises(OSError) as caught:  # noqa: PT011
            write[kind](tmp_path / "here")
        assert promised("a file in the place of a folder", explain(caught.value))


STAGES = ("download", "preprocess", "train", "evaluate", "render")


def test_without_a_home_folder_every_stage_works(tiny_params, tmp_path):
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(tiny_params.model_dump(mode="json")))
    for stage in STAGES:
        done = run_stage(
            stage, tmp_path, **({"HOME": "/nonexistent"} if stage == "download" else {})
        )
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
    assert (tmp_path / "plots" / "examples.png").is_file()


@pytest.mark.parametrize("stage", STAGES[1:])
def test_what_the_stage_before_should_have_made_is_missing(tiny_params, tmp_path, stage):
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(tiny_params.model_dump(mode="json")))
    done = run_stage(stage, tmp_path)
    assert done.returncode == 1
    assert matches(CASES["an out of the stage before missing"], done.stderr.strip(), Path()), (
        done.stderr
    )
    assert files_in(tmp_path) == [".backup/workspace.lock", "params.yaml"]


def test_two_stages_at_once_in_one_folder_are_refused(tiny_params, tmp_path):
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(tiny_params.model_dump(mode="json")))
    with exclusive_lock(tmp_path / ".backup" / "workspace.lock", "testing"):
        done = run_stage("download", tmp_path)
    assert done.returncode == 1
    assert promised("two stages at once", done.stderr.strip())
    assert not (tmp_path / "data").exists()
    assert run_stage("download", tmp_path).returncode == 0


def member(name, kind=tarfile.REGTYPE, target=""):
    def add(archive):
        info = tarfile.TarInfo(name)
        info.type, info.linkname = kind, target
        info.size = 4 if kind == tarfile.REGTYPE else 0
        archive.addfile(info, io.BytesIO(b"evil"))

    return add


ARCHIVES = {
    "archive that climbs out": member("../../../../evil"),
    "archive with an absolute path": member("/tmp/petseg-test-evil"),
    "archive with a symbolic link": member("annotations/evil", tarfile.SYMTYPE, "/etc/passwd"),
    "archive with a hard link": member("annotations/evil", tarfile.LNKTYPE, "/etc/passwd"),
    "archive with a device": member("annotations/evil", tarfile.CHRTYPE),
}


def test_an_archive_that_is_a_bomb_is_not_opened(tiny_params, tmp_path):
    archives = tmp_path / "archives"
    pack(draw_oxford_folder(tmp_path / "pets"), archives)
    with gzip.open(archives / "images.tar.gz", "wb", compresslevel=9) as bomb:
        for _ in range(100):
            bomb.write(bytes(2**20))
    params = tiny_params.dataset.model_copy(update={"name": "oxford_iiit_pet"})
    with pytest.raises(PetsegError, match="Wrong checksum"):
        prepare_dataset(params, tmp_path / "raw", archives)
    assert sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()) < 2**20


@pytest.fixture
def hostile(tmp_path, request):
    """A folder with archives of the right form, one of them with a hostile member."""
    archives = tmp_path / "archives"
    pack(draw_oxford_folder(tmp_path / "pets"), archives)
    with tarfile.open(archives / "annotations.tar.gz", "a") as archive:
        ARCHIVES[request.param](archive)
    return archives


@pytest.mark.parametrize("hostile", ARCHIVES, indirect=True)
def test_an_archive_that_is_not_the_published_one_is_not_even_opened(
    tiny_params, hostile, tmp_path
):
    params = tiny_params.dataset.model_copy(update={"name": "oxford_iiit_pet"})
    with pytest.raises(PetsegError, match="Wrong checksum"):
        prepare_dataset(params, tmp_path / "raw", hostile)
    assert not list(tmp_path.rglob("*evil*"))
    assert not list(hostile.rglob("extracted"))


@pytest.mark.parametrize("hostile", ARCHIVES, indirect=True)
def test_even_with_its_checksum_known_nothing_leaves_its_folder(
    tiny_params, hostile, tmp_path, monkeypatch
):
    def builder_of_these(data_dir):
        builder = oxford_builder(data_dir)
        for url in list(builder.url_infos):
            builder.url_infos[url] = checksums.compute_url_info(hostile / url.rsplit("/", 1)[1])
        return builder

    monkeypatch.setattr(prepare, "oxford_builder", builder_of_these)
    params = tiny_params.dataset.model_copy(update={"name": "oxford_iiit_pet"})
    try:
        prepare_dataset(params, tmp_path / "raw", hostile)
    except PetsegError as error:
        assert "can't be extracted" in str(error)  # noqa: PT017 (either is right)
    assert not Path("/tmp/petseg-test-evil").exists()
    assert not [
        path for path in tmp_path.parent.rglob("*") if path.is_symlink() and path.name == "evil"
    ]
    assert not list(tmp_path.rglob("evil"))


def test_what_is_not_the_machine_s_fault_is_not_explained_away():
    assert explain(ValueError("a bug")) is None
    assert explain(KeyError("a bug")) is None
    assert explain(OSError(errno.EPIPE, "Broken pipe")) is None
    assert explain(MemoryError()).startswith(
        "Out of memory (MemoryError); lower the stage's batch_size"
    )
    assert explain(OSError(errno.EIO, "Input/output error", "x")).startswith("The disk failed at x")


def test_files_and_folders_are_replaced_whole(tmp_path):
    atomic_write(tmp_path / "a" / "file", "one")

    def half():
        with atomic_directory(tmp_path / "a") as folder:
            (folder / "half").write_text("written")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        half()
    assert files_in(tmp_path) == ["a/file"]
    with atomic_directory(tmp_path / "a") as folder:
        atomic_write(folder / "other", b"two")
        assert (tmp_path / "a" / "file").read_text() == "one"
    assert files_in(tmp_path) == ["a/other"]


def test_a_checkpoint_on_a_disk_that_is_full_leaves_the_one_before(disk):
    path, _ = disk
    state = State([ROW], {"network": [np.arange(4000.0)]})
    save_checkpoint(state, path)
    (path / "ballast").write_bytes(bytes(12 * 1024))
    with pytest.raises(OSError, match="No space left"):
        save_checkpoint(State([ROW, ROW], state.arrays), path)
    assert load_checkpoint(path).history == [ROW]


SETTINGS = """
import hashlib, keras, pandas as pd
import petseg.model
from petseg.rendering.charts import draw_confusion
chart = draw_confusion(pd.DataFrame({"truth": ["a"], "prediction": ["a"], "share": [1.0]}))
print(keras.config.floatx(), keras.config.image_data_format(), keras.config.epsilon(), hashlib.sha256(chart).hexdigest())
"""


def test_settings_in_the_home_folder_change_nothing(tmp_path):
    strange_home(tmp_path / "strange")
    (tmp_path / "empty").mkdir()
    said = []
    for home in ("empty", "strange"):
        environment = {
            "HOME": str(tmp_path / home),
            "PYTHONPATH": str(ROOT / "src"),
            "TF_CPP_MIN_LOG_LEVEL": "3",
        }
        done = subprocess.run(
            [sys.executable, "-c", SETTINGS], env=environment, capture_output=True, text=True
        )
        said.append(done.stdout)
    assert said[0].startswith("float32 channels_last 1e-07")
    assert said[0] == said[1]
