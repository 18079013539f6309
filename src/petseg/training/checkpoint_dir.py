"""Where unfinished trainings lie, and when they may go.

They lie under .backup/ of the main repository, one folder per fingerprint of parameters, data and code: never in an
out, which DVC deletes before it runs the stage, and never shared by two different trainings. A finished training stays
until a later stage finds the model in DVC's cache: if the disk is full when DVC puts it there (DVC 3.67 says so, and
goes on as if it had), or somebody kills DVC, nothing has to be trained again.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

import yaml

from petseg.core.atomic_io import atomic_write
from petseg.core.locks import exclusive_lock

_FINISHED = "finished"


def backup_folder(
    parameters: Mapping[str, Any], files: Sequence[Path], code: Mapping[str, Path]
) -> Path:
    """Where the checkpoints of this very training lie.

    `parameters` are JSON values, `files` the data's manifest and the like, `code` the files of modules by name.
    """
    digest = hashlib.sha256(json.dumps(parameters, sort_keys=True).encode())
    for name, path in [*((path.name, path) for path in files), *sorted(code.items())]:
        digest.update(name.encode() + b"\0" + path.read_bytes() + b"\0")
    return _root() / digest.hexdigest()[:20]


def imported_code() -> dict[str, Path]:
    """The files of this package's modules that are imported by now: what a stage's result can depend on."""
    modules = {
        name: module for name, module in sys.modules.items() if name.split(".")[0] == "petseg"
    }
    return {name: Path(module.__file__) for name, module in modules.items() if module.__file__}


def training_lock(backup: Path) -> AbstractContextManager[None]:
    """Hold the backup while a training runs. Raises PetsegError if another process trains just the same."""
    return exclusive_lock(
        backup.with_suffix(".lock"), "training with the same parameters, data and code"
    )


def mark_finished(backup: Path, model_dir: Path) -> None:
    """Note that a training has written its model."""
    atomic_write(backup / _FINISHED, _dvc_hash(model_dir))


def discard_finished(model_dir: Path) -> None:
    """Forget the trainings that ended with this model."""
    finished = _dvc_hash(model_dir)
    _discard(lambda model: model == finished)


def discard_committed(lock_file: Path) -> None:
    """Forget the finished trainings whose model dvc.lock names and DVC has: it means to train anew."""
    with suppress(
        OSError, ValueError, yaml.YAMLError, LookupError, TypeError
    ):  # DVC tells of a broken dvc.lock itself
        outs = yaml.safe_load(lock_file.read_text(encoding="utf-8"))["stages"]["train"]["outs"]
        committed = {out["md5"] for out in outs}
        _discard(lambda model: model in committed)


def _discard(is_safe: Callable[[str], bool]) -> None:
    for note in _root().glob(f"*/{_FINISHED}"):
        with suppress(
            OSError, ValueError
        ):  # another process was faster, or a power cut tore the note
            model = note.read_text(encoding="utf-8")
            if is_safe(model) and is_cached(model):
                shutil.rmtree(note.parent, ignore_errors=True)


def is_cached(model: str) -> bool:
    """Whether DVC's cache holds a folder of that hash; the folder's list comes into it after the folder's files."""
    told = subprocess.run(
        [sys.executable, "-m", "dvc", "cache", "dir"], capture_output=True, text=True
    )
    lists = Path(told.stdout.strip()) / "files" / "md5" / model[:2] / model[2:]
    return told.returncode == 0 and lists.is_file()


def _dvc_hash(folder: Path) -> str:
    """The hash by which DVC knows a folder without sub-folders: of its files' names and MD5 sums."""
    files = sorted(path for path in folder.iterdir() if path.is_file())
    entries = [
        {"md5": hashlib.md5(path.read_bytes()).hexdigest(), "relpath": path.name} for path in files
    ]
    return hashlib.md5(json.dumps(entries, sort_keys=True).encode()).hexdigest() + ".dir"


def _root() -> Path:
    return (
        Path(os.environ.get("DVC_ROOT", ".")) / ".backup"
    )  # the main repository's, in --temp and queue runs too
