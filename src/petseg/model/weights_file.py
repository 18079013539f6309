"""Weights as an HDF5 file: how they are written, and what is checked before Keras reads one that may come from anybody.

HDF5 knows links into other files, filters that load a library, and data sets that are nothing on disk and gigabytes in
memory. A weights file here holds plain data sets of its own, each in one piece as Keras writes it, together not much
larger than the network they are for.
"""

import io
from pathlib import Path

import h5py
import keras
import numpy as np

_SLACK = 2  # an encoder's file may hold a little more than the encoder
_MAX_ITEMS = 100_000


class WeightsFileError(ValueError):
    """A weights file that must not be read or holds what is no weight; the text says why."""


class _InMemory(io.BytesIO):
    """A file whose name tells Keras the format."""

    def __str__(self) -> str:
        return ".weights.h5"


def weights_as_bytes(network: keras.Model) -> bytes:
    """The content of a weights file; the same weights give the same bytes.

    HDF5 itself writes to no disk: if that is full, it leaves its own memory damaged, and the process crashes later.
    """
    content = _InMemory()
    network.save_weights(content)
    return content.getvalue()


def check_weights_file(path: Path, parameters: int) -> None:
    """Look through a file that is to fill so many parameters, without reading its data. Raises WeightsFileError."""
    try:
        with h5py.File(path, "r") as file:
            total = _count(file)
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, RecursionError) as error:
        if isinstance(error, WeightsFileError):
            raise
        raise WeightsFileError(f"it is damaged or not HDF5: {str(error)[:100]}") from error
    if total > _SLACK * parameters:
        raise WeightsFileError(f"it holds {total:,} numbers for {parameters:,} parameters")


def check_finite(network: keras.Model) -> None:
    """Raises WeightsFileError if a weight is not a number."""
    for weight in network.weights:
        if not np.isfinite(np.asarray(weight)).all():
            raise WeightsFileError(f"{weight.path} holds what is not a number")


def _count(root: h5py.File) -> int:
    """How many numbers all data sets hold together."""
    total, seen, waiting = 0, 0, [root]
    while waiting:
        group = waiting.pop()
        for name in group:
            seen += 1
            if seen > _MAX_ITEMS:
                raise WeightsFileError("it holds too many groups")
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise WeightsFileError(f"{name!r} is a link to elsewhere")
            item = group[name]
            if isinstance(item, h5py.Group):
                waiting.append(item)
                continue
            if not isinstance(item, h5py.Dataset) or item.is_virtual or item.external:
                raise WeightsFileError(f"{name!r} keeps its data elsewhere")
            if item.dtype.kind != "f" or item.dtype.itemsize > 8:
                raise WeightsFileError(f"{name!r} holds no plain numbers")
            if item.chunks is not None:  # a chunk may be compressed, and larger than what it holds
                raise WeightsFileError(f"{name!r} is kept in chunks")
            total += int(np.prod(item.shape or (), dtype=object))
    return total
