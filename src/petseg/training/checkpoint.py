"""The state of a training that must survive a kill: the two newest checkpoints, each with its checksum.

A checkpoint is written beside and renamed, so that a kill leaves it whole; if a power cut tears the newest one all the
same, its checksum tells, and the one before it serves.
"""

import hashlib
import io
import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from petseg.core.atomic_io import atomic_write
from petseg.metrics import Matrix
from petseg.training.history import Epoch

Arrays = list[NDArray[Any]]

_HEADER = "history"
_KEPT = 2


@dataclass
class PartialEpoch:
    """The epoch that goes on: how many of its steps are done, and what they add up to."""

    steps: int
    loss_sum: float
    confusion: Matrix


@dataclass(frozen=True)
class State:
    """Everything that the next step depends on, but for what follows from (seed, epoch)."""

    history: list[Epoch]
    arrays: dict[
        str, Arrays
    ]  # the network's weights, the best weights so far, each optimizer's variables
    begun: PartialEpoch | None = (
        None  # the epoch after those of the history, if some of its steps are done
    )

    @property
    def position(self) -> tuple[int, int]:
        """Whole epochs, and steps in the next."""
        return len(self.history), self.begun.steps if self.begun else 0


def save_checkpoint(state: State, folder: Path) -> None:
    """Add a checkpoint and forget all but the two newest."""
    data = pack(state)
    epochs, steps = state.position
    atomic_write(
        folder / f"{epochs:07d}-{steps:09d}.checkpoint", hashlib.sha256(data).digest() + data
    )
    for old in _checkpoints(folder)[_KEPT:]:
        old.unlink(missing_ok=True)


def pack(state: State) -> bytes:
    """A state as bytes."""
    header: dict[str, Any] = {"history": [asdict(row) for row in state.history], "begun": None}
    if state.begun:
        header["begun"] = {**asdict(state.begun), "confusion": state.begun.confusion.tolist()}
    named = {
        f"{kind}/{i}": array
        for kind, arrays in state.arrays.items()
        for i, array in enumerate(arrays)
    }
    content = io.BytesIO()
    np.savez(content, allow_pickle=False, **{_HEADER: np.array(json.dumps(header))}, **named)
    return content.getvalue()


def load_checkpoint(folder: Path) -> State | None:
    """The newest whole checkpoint, or None if there is none; damaged ones are named and removed.

    One that can't be read now may be sound: that error is the caller's, and the file stays.
    """
    for path in _checkpoints(folder):
        content = path.read_bytes()
        digest, data = content[:32], content[32:]
        if hashlib.sha256(data).digest() == digest:
            return unpack(data)
        print(
            f"The checkpoint {path} is damaged; the one before it serves, if there is one.",
            flush=True,
        )
        with suppress(OSError):  # it must not count among the two newest
            path.unlink()
    return None


def _checkpoints(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.checkpoint"), reverse=True)


def unpack(data: bytes) -> State:
    """What `pack` has made bytes of."""
    with np.load(io.BytesIO(data), allow_pickle=False) as stored:
        header = json.loads(str(stored[_HEADER]))
        arrays: dict[str, Arrays] = {}
        for key in stored.files:  # in the order in which they were written
            kind, _, _ = key.partition("/")
            if kind != _HEADER:
                arrays.setdefault(kind, []).append(stored[key])
    begun = header["begun"]
    if begun:
        begun = PartialEpoch(**{**begun, "confusion": np.array(begun["confusion"], np.int64)})
    return State([Epoch(**row) for row in header["history"]], arrays, begun)
