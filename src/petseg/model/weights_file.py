"""Write weights as HDF5, and check a file of unknown origin before Keras reads it.

HDF5 has links to other files, filters that load a library, and data sets that take no space on
disk but gigabytes of memory. Here a weights file may hold only plain, contiguous data sets, as
Keras writes them, and not many more numbers than the network has parameters.
"""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import keras
import numpy as np

# Maximum numbers in the file per parameter: an encoder's file may hold more than we use.
_MAX_RATIO = 2
_MAX_ITEMS = 100_000


class WeightsFileError(ValueError):
    """A weights file that is unsafe to read or holds invalid weights. The message says why."""


class _WeightsBuffer(io.BytesIO):
    """A buffer whose name tells Keras the file format (checked with Keras 3.15)."""

    def __str__(self) -> str:
        return ".weights.h5"


def weights_as_bytes(network: keras.Model) -> bytes:
    """Return the content of a weights file; the same weights give the same bytes.

    HDF5 must not write to the disk itself: on a full disk it corrupts its own memory, and the
    process crashes later.
    """
    buffer = _WeightsBuffer()
    network.save_weights(buffer)
    return buffer.getvalue()


@contextmanager
def require_all_layers() -> Iterator[None]:
    """Raise UserWarning if Keras skips a layer while it loads weights; by default it only warns."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        yield


def check_weights_file(path: Path, num_parameters: int) -> None:
    """Check that a file is safe to load into a network of this size, without reading its data.

    Raises WeightsFileError.
    """
    try:
        with h5py.File(path, "r") as file:
            total = _count_numbers(file)
    except WeightsFileError:
        raise
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, RecursionError) as error:
        raise WeightsFileError(f"it is damaged or not HDF5: {str(error)[:100]}") from error
    if total > _MAX_RATIO * num_parameters:
        raise WeightsFileError(f"it holds {total:,} numbers for {num_parameters:,} parameters")


def check_finite(network: keras.Model) -> None:
    """Raise WeightsFileError if a weight is NaN or Inf."""
    for weight in network.weights:
        if not np.isfinite(np.asarray(weight)).all():
            raise WeightsFileError(f"{weight.path} holds NaN or Inf")


def _count_numbers(root: h5py.File) -> int:
    """Count the numbers in all data sets. Raises WeightsFileError if one is unsafe."""
    total, num_items, queue = 0, 0, [root]
    while queue:
        group = queue.pop()
        for name in group:
            num_items += 1
            if num_items > _MAX_ITEMS:
                raise WeightsFileError("it holds too many groups")
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise WeightsFileError(f"{name!r} is a link")
            item = group[name]
            if isinstance(item, h5py.Group):
                queue.append(item)
                continue
            if not isinstance(item, h5py.Dataset) or item.is_virtual or item.external:
                raise WeightsFileError(f"{name!r} stores its data in another file")
            if item.dtype.kind != "f" or item.dtype.itemsize > 8:
                raise WeightsFileError(f"{name!r} doesn't hold plain numbers")
            if item.chunks is not None:  # a compressed chunk may be far larger than the data set
                raise WeightsFileError(f"{name!r} is stored in chunks")
            total += int(np.prod(item.shape or (), dtype=object))
    return total
