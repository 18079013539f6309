"""The state of a training that must survive a kill: one file, written beside and renamed.

The files lie under .backup/ of the main repository, one folder per fingerprint of parameters, data and code: never in
an out, which DVC deletes before it runs the stage, and never shared by two different trainings.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from petseg.training.history import Epoch

Arrays = list[NDArray[Any]]


@dataclass(frozen=True)
class State:
    """Everything that the next epoch depends on, but for what follows from (seed, epoch)."""

    history: list[Epoch]
    arrays: dict[str, Arrays]  # the network's weights, the best weights so far, each optimizer's variables


def backup_folder(parameters: Mapping[str, Any], files: Sequence[Path], code: Path) -> Path:
    """Where the checkpoint of this very training lies.

    `parameters` are JSON values, `files` the data's manifest and the like, `code` the folder of the package.
    """
    digest = hashlib.sha256(json.dumps(parameters, sort_keys=True).encode())
    for path in [*files, *sorted(code.rglob("*.py"))]:
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    root = Path(os.environ.get("DVC_ROOT", "."))  # the main repository, in --temp and queue runs too
    return root / ".backup" / digest.hexdigest()[:20]


def save_state(state: State, folder: Path) -> None:
    """Replace the checkpoint; at every moment the old or the new one is there, whole."""
    folder.mkdir(parents=True, exist_ok=True)
    named = {f"{kind}/{i}": array for kind, arrays in state.arrays.items() for i, array in enumerate(arrays)}
    history = json.dumps([asdict(row) for row in state.history])
    partial = folder / f"state.{os.getpid()}.partial"
    with partial.open("wb") as file:
        np.savez(file, allow_pickle=False, history=np.array(history), **named)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(folder / "state.npz")


def load_state(folder: Path) -> State | None:
    """The checkpoint, or None if there is none."""
    path = folder / "state.npz"
    if not path.is_file():
        return None
    with np.load(path, allow_pickle=False) as stored:
        history = [Epoch(**row) for row in json.loads(str(stored["history"]))]
        arrays: dict[str, Arrays] = {}
        for key in stored.files:  # in the order in which they were written
            kind, _, _ = key.partition("/")
            if kind != "history":
                arrays.setdefault(kind, []).append(stored[key])
    return State(history, arrays)


def discard_state(folder: Path) -> None:
    """Forget the checkpoint of a training that has come to its end."""
    shutil.rmtree(folder, ignore_errors=True)
