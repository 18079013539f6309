"""Where the checkpoints of a training run are kept, and when they are deleted.

They are in the main repository's .backup/, in one folder per fingerprint of parameters, data, code
and environment. So DVC, which deletes a stage's outputs before it runs the stage, leaves them
alone, and different runs never share a folder. Locks are in .cache/, because .backup/ may be a link
to a network drive, where locks may fail or outlive their machine.

A finished run's checkpoints are kept until a later run finds its model in DVC's cache. If the disk
is full when DVC caches the model (DVC 3.67 then prints an error and continues), or if DVC is killed
before it writes dvc.lock, nothing has to be trained again.
"""

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

from petseg.config.paths import main_repository
from petseg.config.validation import read_yaml
from petseg.core.atomic_io import atomic_write
from petseg.core.errors import PetsegError
from petseg.core.locks import exclusive_lock

_FINISHED_FILE = "finished"  # holds the DVC hash of the model
_ENVIRONMENT_FILE = "environment"


def checkpoint_dir_for(
    settings: Mapping[str, Any],
    files: Sequence[Path],
    modules: Mapping[str, Path],
    environment: str = "",
) -> Path:
    """Return the folder for a training run with these settings, data and code, in an environment.

    `settings` are JSON values, `files` the manifest and other inputs, `modules` source files by
    module name. `environment` is empty if a run may resume in any. It has its own part of the name,
    so that report_other_environments can find the same training in other environments.
    """
    fingerprint = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for name, path in [*((path.name, path) for path in files), *sorted(modules.items())]:
        fingerprint.update(name.encode() + b"\0" + path.read_bytes() + b"\0")
    name = fingerprint.hexdigest()[:20]
    if environment:
        name += "-" + hashlib.sha256(environment.encode()).hexdigest()[:8]
    return _root() / name


def imported_modules() -> dict[str, Path]:
    """Return the source files of petseg's modules imported so far, which a result may depend on."""
    return {
        name: Path(module.__file__)
        for name, module in sys.modules.items()
        if name.split(".")[0] == "petseg" and module.__file__
    }


def training_lock(checkpoint_dir: Path) -> AbstractContextManager[None]:
    """Lock the folder during training. Raises PetsegError if another process holds the lock."""
    lock_file = main_repository() / ".cache" / f"{checkpoint_dir.name}.lock"
    return exclusive_lock(lock_file, "training with the same parameters, data and code")


def record_environment(checkpoint_dir: Path, environment: str) -> None:
    """Write where a training runs, for `report_other_environments` of later ones."""
    atomic_write(checkpoint_dir / _ENVIRONMENT_FILE, environment)


def report_other_environments(checkpoint_dir: Path, environment: str) -> None:
    """Print why a training doesn't resume if its only checkpoints are from other environments.

    A run with the same parameters, data and code, but on another GPU, say, gives other bytes.
    """
    run, separator, _ = checkpoint_dir.name.partition("-")
    if not separator or any(checkpoint_dir.glob("*.checkpoint")):
        return
    for file in sorted(_root().glob(f"{run}-*/{_ENVIRONMENT_FILE}")):
        if any(file.parent.glob("*.checkpoint")):
            print(
                f"Starting over: the checkpoints in {file.parent} are of the same training in "
                f"another environment ({file.read_text(encoding='utf-8')}). This one "
                f"({environment}) gives slightly different results. Trainings with "
                "train.deterministic=false resume in any environment.",
                flush=True,
            )


def mark_finished(checkpoint_dir: Path, model_dir: Path) -> None:
    """Record that a training run has written its model."""
    atomic_write(checkpoint_dir / _FINISHED_FILE, dvc_hash(model_dir))


def delete_finished(checkpoint_dir: Path, lock_file: Path) -> None:
    """Delete the checkpoints of finished training runs whose model is in DVC's cache.

    Those in `checkpoint_dir`, for the run that is starting, are deleted only if dvc.lock lists
    their model too: then the user asked to train again. Otherwise DVC was killed before it wrote
    dvc.lock, and the finished run only writes its model again.
    """
    finished = {}
    for file in _root().glob(f"*/{_FINISHED_FILE}"):
        with suppress(OSError, ValueError):  # just deleted, or damaged by a power failure
            finished[file.parent] = file.read_text(encoding="utf-8")
    if not finished or (cache := _cache_dir()) is None:
        return
    locked = _locked_models(lock_file)
    for directory, model in finished.items():
        is_cached = (cache / "files/md5" / model[:2] / model[2:]).is_file()
        if is_cached and (directory != checkpoint_dir or model in locked):
            shutil.rmtree(directory, ignore_errors=True)


def dvc_hash(directory: Path) -> str:
    """Return DVC's hash of a folder without subfolders, computed from file names and MD5 sums."""
    entries = [
        {"md5": hashlib.md5(path.read_bytes()).hexdigest(), "relpath": path.name}
        for path in sorted(directory.iterdir())
        if path.is_file()
    ]
    return hashlib.md5(json.dumps(entries, sort_keys=True).encode()).hexdigest() + ".dir"


def _cache_dir() -> Path | None:
    """Return DVC's cache folder, or None without DVC.

    The list of a cached folder's files is written there after the files themselves.
    """
    command = [sys.executable, "-m", "dvc", "cache", "dir"]
    done = subprocess.run(command, capture_output=True, text=True)
    return Path(done.stdout.strip()) if done.returncode == 0 else None


def _locked_models(lock_file: Path) -> set[str]:
    """Return the hashes of the stage train's outputs in dvc.lock; none if it can't be read."""
    try:
        return {out["md5"] for out in read_yaml(lock_file)["stages"]["train"]["outs"]}
    except (PetsegError, LookupError, TypeError):
        return set()  # DVC itself reports a broken dvc.lock


def _root() -> Path:
    return main_repository() / ".backup"
