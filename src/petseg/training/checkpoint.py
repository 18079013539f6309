"""The checkpoints of a training run: the two newest, each with a checksum.

A checkpoint is written atomically, so a kill leaves it intact. If a power failure damages the
newest one anyway, its checksum reveals that, and the one before it is used.
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

_HEADER = "header"
_KEEP_LAST = 2
_DIGEST_SIZE = hashlib.sha256().digest_size


@dataclass
class PartialEpoch:
    """An epoch in progress: the steps done and the sums over them."""

    steps: int
    loss_sum: float
    confusion: Matrix


@dataclass(frozen=True)
class Checkpoint:
    """Everything that the next step depends on, except what follows from (seed, epoch)."""

    history: list[Epoch]  # of the complete epochs
    arrays: dict[str, Arrays]  # "network", "best", "average", "loss_scale", each optimizer's
    partial_epoch: PartialEpoch | None = None  # the next epoch, if it has started

    @property
    def position(self) -> tuple[int, int]:
        """The number of complete epochs, and of steps in the next one."""
        return len(self.history), self.partial_epoch.steps if self.partial_epoch else 0


def save_checkpoint(checkpoint: Checkpoint, directory: Path) -> None:
    """Write a checkpoint and remove all but the two newest."""
    content = pack(checkpoint)
    epochs, steps = checkpoint.position
    path = directory / f"{epochs:07d}-{steps:09d}.checkpoint"
    atomic_write(path, hashlib.sha256(content).digest() + content)
    for old in _newest_first(directory)[_KEEP_LAST:]:
        old.unlink(missing_ok=True)


def load_checkpoint(directory: Path) -> Checkpoint | None:
    """Load the newest intact checkpoint, or return None. Report and delete damaged ones.

    Raises OSError if a file can't be read. It may be intact, so it is kept.
    """
    for path in _newest_first(directory):
        data = path.read_bytes()
        digest, content = data[:_DIGEST_SIZE], data[_DIGEST_SIZE:]
        if hashlib.sha256(content).digest() == digest:
            return unpack(content)
        print(f"{path} is damaged; trying the checkpoint before it.", flush=True)
        with suppress(OSError):  # it must not count as one of the two newest
            path.unlink()
    return None


def pack(checkpoint: Checkpoint) -> bytes:
    """Serialize a checkpoint."""
    header: dict[str, Any] = {"history": [asdict(row) for row in checkpoint.history]}
    if partial := checkpoint.partial_epoch:
        header["partial_epoch"] = asdict(partial) | {"confusion": partial.confusion.tolist()}
    named: dict[str, Any] = {_HEADER: np.array(json.dumps(header))}
    for name, arrays in checkpoint.arrays.items():
        named |= {f"{name}/{i}": array for i, array in enumerate(arrays)}
    content = io.BytesIO()
    np.savez(content, **named)
    return content.getvalue()


def unpack(content: bytes) -> Checkpoint:
    """Deserialize a checkpoint."""
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        header = json.loads(str(file[_HEADER]))
        arrays: dict[str, Arrays] = {}
        for key in file.files:  # in the order in which they were written
            name, _, _ = key.partition("/")
            if name != _HEADER:
                arrays.setdefault(name, []).append(file[key])
    history = [Epoch(**row) for row in header["history"]]
    if (partial := header.get("partial_epoch")) is None:
        return Checkpoint(history, arrays)
    partial["confusion"] = np.array(partial["confusion"], np.int64)
    return Checkpoint(history, arrays, PartialEpoch(**partial))


def _newest_first(directory: Path) -> list[Path]:
    return sorted(directory.glob("*.checkpoint"), reverse=True)
