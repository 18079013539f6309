"""Files and folders appear whole or not at all, whichever system call fails or is the last."""

import errno
import itertools
import json
import os
import shutil
import stat
import subprocess
import sys
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

import pytest

from petseg.core import atomic_io
from petseg.core.atomic_io import (
    atomic_directory,
    atomic_write,
    flush_entries,
    write_json,
)


class Faults:
    """Lets the call number `failing` fail, and notes what a kill before each call would leave."""

    def __init__(self, failing, error, observe):
        self.failing, self.error, self.observe = failing, error, observe
        self.calls, self.seen = [], []

    def before(self, name):
        self.calls.append(name)
        self.seen.append(self.observe())
        if len(self.calls) == self.failing:
            raise self.error

    @property
    def failed(self):
        return len(self.calls) >= self.failing


class FaultyFile:
    def __init__(self, file, faults):
        self._file, self._faults = file, faults

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._file.close()

    def __getattr__(self, name):
        return getattr(self._file, name)

    def write(self, data):
        self._file.write(data[: len(data) // 2])
        self._file.flush()
        self._faults.before("write")
        self._file.write(data[len(data) // 2 :])


def counted(name, function, faults):
    def call(*args, **kwargs):
        faults.before(name)
        return function(*args, **kwargs)

    return call


@contextmanager
def injected(faults):
    """Count the calls that change the disk, and let one of them fail."""
    with pytest.MonkeyPatch.context() as patch:
        for owner, name in [(Path, "mkdir"), (Path, "replace"), (Path, "rename"), (os, "fsync")]:
            patch.setattr(owner, name, counted(name, getattr(owner, name), faults))
        original_open = Path.open

        def open_faulty(path, mode="r", *args, **kwargs):
            file = original_open(path, mode, *args, **kwargs)
            return FaultyFile(file, faults) if "w" in mode else file

        patch.setattr(Path, "open", open_faulty)
        yield


def content_of(path):
    """The files of a folder by name, the bytes of a file, or None."""
    if path.is_dir():
        return {item.name: item.read_bytes() for item in path.rglob("*") if item.is_file()}
    return path.read_bytes() if path.exists() else None


OLD_FILE, NEW_FILE = b"old content", b"the new content"
OLD_FOLDER = {"old.txt": b"old"}
NEW_FOLDER = {"new.txt": b"new", "nested.txt": b"nested"}


def write_file(path):
    atomic_write(path, NEW_FILE)


def write_folder(path):
    with atomic_directory(path) as folder:
        (folder / "new.txt").write_bytes(b"new")
        (folder / "sub").mkdir()
        (folder / "sub" / "nested.txt").write_bytes(b"nested")


def restore(path, old):
    """Bring back the old content, or none."""
    path.parent.mkdir(parents=True)
    if isinstance(old, dict):
        path.mkdir()
        for name, data in old.items():
            (path / name).write_bytes(data)
    elif old is not None:
        path.write_bytes(old)


RENAMES = {write_file: "replace", write_folder: "rename"}
WRITES = [
    pytest.param(write_file, None, NEW_FILE, id="a new file"),
    pytest.param(write_file, OLD_FILE, NEW_FILE, id="a file replaced"),
    pytest.param(write_folder, None, NEW_FOLDER, id="a new folder"),
    pytest.param(write_folder, OLD_FOLDER, NEW_FOLDER, id="a folder replaced"),
]


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()], ids=repr
)
@pytest.mark.parametrize(("write", "old", "new"), WRITES)
def test_whichever_call_fails_either_the_old_or_the_new_content_exists(
    tmp_path, write, old, new, error
):
    failed_calls = set()
    for number in itertools.count(1):
        path = tmp_path / str(number) / "target"
        restore(path, old)
        faults = Faults(number, error, lambda: None)
        with injected(faults), suppress(OSError, KeyboardInterrupt):
            write(path)
        assert content_of(path) in (old, new), faults.calls
        assert [item.name for item in path.parent.iterdir() if item != path] == [], faults.calls
        if not faults.failed:
            break
        failed_calls.add(faults.calls[number - 1])
    assert content_of(path) == new
    assert failed_calls == {"mkdir", "write", "fsync", RENAMES[write]}


@pytest.mark.parametrize(("write", "old", "new"), WRITES)
def test_whenever_the_process_is_killed_nothing_is_half_written(tmp_path, write, old, new):
    path = tmp_path / "folder" / "target"
    restore(path, old)
    faults = Faults(10**6, None, lambda: content_of(path))
    with injected(faults):
        write(path)
    assert len(faults.seen) > 4
    states = [state for state, _ in itertools.groupby(faults.seen)]
    # A folder can't be replaced by another in one step: a kill between two renames leaves neither.
    allowed = [old, None, new] if write is write_folder and old else [old, new]
    assert states == [state for state, _ in itertools.groupby(allowed)]


@pytest.fixture
def machine(tmp_path):
    """The name of this machine in those of partial files."""
    with atomic_directory(tmp_path / "x" / "y") as folder:
        name = folder.name.split(".")[2].split("-")[0]
    shutil.rmtree(tmp_path / "x")
    return name


@pytest.fixture
def ended_process():
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.mark.parametrize("write", [write_file, write_folder])
def test_what_a_killed_process_left_behind_is_removed(tmp_path, machine, ended_process, write):
    left = f"{machine}-{ended_process}.partial"
    restore(tmp_path / f".target.{left}" / "rest", OLD_FILE)
    (tmp_path / f".other.txt.{left}").touch()
    kept = {".mine.partial", f".other.txt.000000-{ended_process}.partial"}  # of another machine
    for name in kept:
        (tmp_path / name).touch()
    write(tmp_path / "target")
    assert {path.name for path in tmp_path.iterdir()} == {"target", *kept}


def test_an_unfinished_folder_of_another_container_is_removed(tmp_path):
    restore(tmp_path / ".target.000000-1.partial" / "rest", OLD_FILE)
    write_folder(tmp_path / "target")
    assert [path.name for path in tmp_path.iterdir()] == ["target"]


def test_a_name_may_be_as_long_as_the_file_system_allows(tmp_path):
    write_file(tmp_path / ("x" * 255))
    assert content_of(tmp_path) == {"x" * 255: NEW_FILE}


def test_the_previous_folder_of_a_killed_process_is_removed(tmp_path):
    restore(tmp_path / ".target.previous.partial" / "rest", OLD_FILE)
    write_folder(tmp_path / "target")
    write_folder(tmp_path / "target")
    assert [path.name for path in tmp_path.iterdir()] == ["target"]


def test_two_processes_that_write_one_path_do_not_mix(tmp_path, machine, monkeypatch):
    other = os.getppid()
    path = tmp_path / "target"
    with atomic_directory(path) as folder:
        (folder / "new.txt").write_bytes(b"new")
        with monkeypatch.context() as patch:
            patch.setattr(os, "getpid", lambda: other)
            with atomic_directory(path) as other_folder:
                (other_folder / "other.txt").write_bytes(b"other")
                assert os.listdir(folder) == ["new.txt"]
        assert content_of(path) == {"other.txt": b"other"}
    assert content_of(path) == {"new.txt": b"new"}
    monkeypatch.setattr(os, "getpid", lambda: other)
    theirs = tmp_path / f".file.{machine}-{os.getppid()}.partial"
    theirs.write_bytes(b"theirs")
    monkeypatch.setattr(os, "getpid", lambda: other + 1)
    atomic_write(tmp_path / "file", b"ours")
    assert (theirs.read_bytes(), (tmp_path / "file").read_bytes()) == (b"theirs", b"ours")


def test_a_kill_between_the_two_renames_costs_nothing(tmp_path):
    restore(tmp_path / "x" / ".target.previous.partial", OLD_FOLDER)

    def fail():
        with atomic_directory(tmp_path / "x" / "target"):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert content_of(tmp_path / "x" / "target") == OLD_FOLDER


def test_a_failing_block_keeps_the_old_folder(tmp_path):
    atomic_write(tmp_path / "a" / "file", "one")

    def fail_halfway():
        with atomic_directory(tmp_path / "a") as folder:
            (folder / "half").write_text("written")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_halfway()
    assert content_of(tmp_path) == {"file": b"one"}


def test_the_old_folder_exists_until_the_block_ends(tmp_path):
    atomic_write(tmp_path / "a" / "file", "one")
    with atomic_directory(tmp_path / "a") as folder:
        atomic_write(folder / "other", b"two")
        assert (tmp_path / "a" / "file").read_text() == "one"
    assert content_of(tmp_path / "a") == {"other": b"two"}


def test_text_is_written_as_utf_8(tmp_path):
    atomic_write(tmp_path / "file", "größer\n")
    assert (tmp_path / "file").read_bytes() == "größer\n".encode()


def test_a_file_in_place_of_a_folder_is_kept(tmp_path):
    (tmp_path / "target").write_text("a user's file")
    with pytest.raises(NotADirectoryError), atomic_directory(tmp_path / "target"):
        pass
    assert content_of(tmp_path) == {"target": b"a user's file"}


def test_a_link_in_place_of_a_folder_is_kept(tmp_path):
    restore(tmp_path / "x" / "elsewhere", OLD_FOLDER)
    (tmp_path / "target").symlink_to(tmp_path / "x" / "elsewhere")
    with pytest.raises(NotADirectoryError), atomic_directory(tmp_path / "target"):
        pass
    assert content_of(tmp_path / "target") == OLD_FOLDER


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EIO])
def test_only_a_drive_that_cannot_flush_folders_is_tolerated(tmp_path, monkeypatch, number):
    def fsync(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fsync)
    with nullcontext() if number == errno.EINVAL else pytest.raises(OSError, match="Input/output"):
        atomic_write(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"new"


def test_the_entries_of_a_folder_can_be_flushed_once_for_many_files(tmp_path, monkeypatch):
    flushed = []
    monkeypatch.setattr("petseg.core.atomic_io._flush", flushed.append)
    folder = tmp_path / "new"
    for name in ("a", "b"):
        atomic_write(folder / name, b"", flush_folder=False)
    assert not flushed
    flush_entries(folder)
    assert flushed == [folder, tmp_path]


def test_json_without_nan_is_written(tmp_path):
    path = tmp_path / "metrics.json"
    write_json(path, {"a": [1, None]})
    assert json.loads(path.read_text()) == {"a": [1, None]}
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"a": float("nan")})
    assert json.loads(path.read_text()) == {"a": [1, None]}


@pytest.mark.parametrize("name", ["_PID_NAMESPACE", "_MACHINE_ID"])
def test_containers_and_virtual_machines_of_one_name_differ(tmp_path, machine, monkeypatch, name):
    link = tmp_path / "pid"
    link.symlink_to("pid:[1]")
    id_file = tmp_path / "machine-id"
    id_file.write_text("another")
    monkeypatch.setattr(atomic_io, name, link if name == "_PID_NAMESPACE" else id_file)
    atomic_io._machine.cache_clear()
    try:
        with atomic_directory(tmp_path / "z") as folder:
            assert machine not in folder.name
    finally:
        atomic_io._machine.cache_clear()
