"""Where checkpoints are, and when finished trainings are deleted."""

import sys
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from petseg.core.errors import PetsegError
from petseg.training import checkpoint_dir
from petseg.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from petseg.training.checkpoint_dir import (
    checkpoint_dir_for,
    delete_finished,
    dvc_hash,
    imported_modules,
    mark_finished,
    record_environment,
    report_other_environments,
    training_lock,
)
from petseg.training.history import Epoch

ROW = Epoch(1, 0.1, 1.0, 0.2, 1.1, 0.3, 0.4)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """DVC's cache folder."""
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setattr(checkpoint_dir, "_cache_dir", lambda: tmp_path / "cache")
    return tmp_path / "cache"


@pytest.fixture
def finished(tmp_path, cache):
    """Make the checkpoint folder of a finished training, whose model DVC has cached or not."""

    def make(name, *, is_cached):
        model, directory = tmp_path / f"model-{name}", tmp_path / ".backup" / name
        model.mkdir()
        (model / "weights").write_text(name)
        mark_finished(directory, model)
        if is_cached:
            digest = dvc_hash(model)
            entry = cache / "files" / "md5" / digest[:2] / digest[2:]
            entry.parent.mkdir(parents=True, exist_ok=True)
            entry.touch()
        return directory

    return make


def lock_file_with(tmp_path, **stages):
    """A dvc.lock in which stages name the models of trainings."""
    lock = {
        name: {"outs": [{"path": "models/unet", "md5": (directory / "finished").read_text()}]}
        for name, directory in stages.items()
    }
    path = tmp_path / "dvc.lock"
    path.write_text(yaml.safe_dump({"schema": "2.0", "stages": lock}))
    return path


def test_another_finished_run_is_deleted_once_its_model_is_cached(tmp_path, finished):
    cached, uncached = finished("a", is_cached=True), finished("b", is_cached=False)
    running = tmp_path / ".backup" / "c"
    running.mkdir()
    delete_finished(tmp_path / ".backup" / "new", tmp_path / "dvc.lock")
    assert not cached.exists()
    assert uncached.exists()  # DVC's disk was full, say
    assert running.exists()


def test_the_same_run_is_deleted_only_if_dvc_lock_lists_its_model(tmp_path, finished):
    own, other = finished("own", is_cached=True), finished("other", is_cached=False)
    lock_file = tmp_path / "dvc.lock"
    delete_finished(own, lock_file)
    assert own.exists()  # there is no dvc.lock: DVC was killed before it wrote one
    lock_file.write_text("stages: [")
    delete_finished(own, lock_file)
    assert own.exists()
    delete_finished(own, lock_file_with(tmp_path, train=other, evaluate=own))
    assert own.exists()  # of the train stage, dvc.lock names an older model
    delete_finished(own, lock_file_with(tmp_path, train=own))
    assert not own.exists()  # the user asked to train again


def test_the_same_run_is_kept_until_its_model_is_cached(tmp_path, finished):
    own = finished("own", is_cached=False)
    delete_finished(own, lock_file_with(tmp_path, train=own))
    assert own.exists()


def test_nothing_is_deleted_without_dvc(tmp_path, finished, monkeypatch):
    directory = finished("a", is_cached=True)
    monkeypatch.setattr(checkpoint_dir, "_cache_dir", lambda: None)
    delete_finished(tmp_path / ".backup" / "new", tmp_path / "dvc.lock")
    assert directory.exists()


def test_a_missing_or_damaged_finished_file_stops_nothing(tmp_path, finished, monkeypatch):
    gone, damaged = finished("gone", is_cached=True), finished("damaged", is_cached=True)
    (damaged / "finished").write_bytes(b"\xff\xfe")
    original = Path.read_text

    def read(path, **kwargs):
        if path.parent == gone:
            path.unlink()
        return original(path, **kwargs)

    monkeypatch.setattr(Path, "read_text", read)
    delete_finished(tmp_path / ".backup" / "new", tmp_path / "dvc.lock")
    assert damaged.exists()


def test_the_hash_of_a_model_matches_dvc(tmp_path):
    """DVC 3.67 computed this hash for these files."""
    (tmp_path / "model.json").write_text("{}\n")
    (tmp_path / "model.weights.h5").write_bytes(b"weights")
    assert dvc_hash(tmp_path) == "fe2de8b6ac6623274290276d742d33b4.dir"


def test_two_processes_cannot_do_the_same_training(tmp_path, monkeypatch):
    message = "Another process is training with the same parameters, data and code"
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    with training_lock(tmp_path / "fingerprint"):  # noqa: SIM117 (nesting is the point)
        with pytest.raises(PetsegError, match=message):
            training_lock(tmp_path / "fingerprint").__enter__()


def test_different_settings_data_or_code_get_a_different_folder(tmp_path):
    code, data = tmp_path / "a.py", tmp_path / "manifest.json"
    code.write_text("1")
    data.write_text("{}")

    def folder(rate):
        return checkpoint_dir_for({"rate": rate}, [data], {"petseg.a": code})

    folders = [folder(0.1), folder(0.2)]
    data.write_text("{ }")
    folders.append(folder(0.1))
    code.write_text("2")
    folders.append(folder(0.1))
    assert len(set(folders)) == 4
    assert folder(0.1) == folders[-1]


def test_a_training_in_another_environment_is_not_resumed_and_this_is_said(cache, capsys):
    def start(environment, rate=0.1):
        directory = checkpoint_dir_for({"rate": rate}, [], {}, environment)
        report_other_environments(directory, environment)
        assert not (directory / "environment").exists() or any(directory.glob("*.checkpoint"))
        record_environment(directory, environment)
        return directory, capsys.readouterr().out

    t4, printed = start("Tesla T4")
    assert printed == ""
    start("NVIDIA L4")  # killed before its first checkpoint
    save_checkpoint(Checkpoint([ROW], {}), t4)
    assert start("Tesla T4") == (t4, "")
    a100, printed = start("NVIDIA A100")
    assert a100 != t4
    assert printed.startswith(f"Starting over: the checkpoints in {t4} are of the same training")
    assert "Tesla T4" in printed
    assert "NVIDIA A100" in printed
    assert "L4" not in printed
    assert start("NVIDIA A100", rate=0.2)[1] == ""
    assert start("")[1] == ""  # not deterministic


def test_checkpoints_may_be_on_a_linked_drive_and_locks_stay_here(tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    drive = tmp_path / "drive" / "MyDrive"
    drive.mkdir(parents=True)
    (tmp_path / ".backup").symlink_to(drive)
    directory = checkpoint_dir_for({}, [], {}, "CPU")
    with training_lock(directory):
        record_environment(directory, "CPU")
        save_checkpoint(Checkpoint([ROW], {}), directory)
    (tmp_path / ".backup").unlink()  # another machine, the same drive
    (tmp_path / ".backup").symlink_to(drive)
    assert load_checkpoint(directory).history == [ROW]
    assert not list(drive.rglob("*.lock"))


def test_only_imported_modules_of_petseg_count(monkeypatch):
    for name in ("petseg.extra", "petsegmentation"):
        module = ModuleType(name)
        module.__file__ = f"/{name}.py"
        monkeypatch.setitem(sys.modules, name, module)
    found = imported_modules()
    assert found["petseg.extra"] == Path("/petseg.extra.py")
    assert found["petseg.training.checkpoint_dir"] == Path(checkpoint_dir.__file__)
    assert {name.split(".")[0] for name in found} == {"petseg"}
    assert not [name for name in found if name.startswith("petseg.") and name not in sys.modules]


def test_the_cache_folder_is_the_one_dvc_uses(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert checkpoint_dir._cache_dir() is None  # no DVC repository
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc" / "config").write_text("[core]\n    no_scm = true\n")
    assert checkpoint_dir._cache_dir() == tmp_path / ".dvc" / "cache"
