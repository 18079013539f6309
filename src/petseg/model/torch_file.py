"""Read the weights in a file of PyTorch before version 1.6, without PyTorch.

Such a file holds pickles: a magic number, a version, the machine's properties, the dictionary of
tensors, and the names of the storages. Then come the storages, one after the other: the number of
items and their bytes, in little-endian order.
"""

import pickle
from collections import OrderedDict
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np

_MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
_NUM_HEADERS = 3  # pickles before the tensors
_DTYPES = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}


@dataclass(frozen=True)
class _Tensor:
    storage: str
    offset: int  # in items, like the strides
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _Unpickler(pickle.Unpickler):
    """Unpickles tensors, and calls nothing that the file could name otherwise."""

    def __init__(self, file: BytesIO) -> None:
        super().__init__(file)
        self.dtypes: dict[str, np.dtype[Any]] = {}  # of each storage

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda *values: _Tensor(*values[:4])
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        raise pickle.UnpicklingError(f"unexpected {module}.{name}")

    def persistent_load(self, pid: Any) -> str:
        _, dtype, storage, *_ = pid
        self.dtypes[storage] = dtype
        return str(storage)


def read_torch_weights(content: bytes) -> dict[str, np.ndarray]:
    """Return the tensors in a file's content by name, as read-only arrays of float32 or int64.

    Raises pickle.UnpicklingError if the file has another format or names anything but tensors. What
    a damaged file raises depends on the damage, so check its checksum first.
    """
    file = BytesIO(content)
    headers = [_Unpickler(file).load() for _ in range(_NUM_HEADERS)]
    if headers[0] != _MAGIC_NUMBER:
        raise pickle.UnpicklingError("not a file of PyTorch before version 1.6")
    unpickler = _Unpickler(file)
    tensors = unpickler.load()
    storages = {}
    for storage in _Unpickler(file).load():
        num_items = int.from_bytes(file.read(8), "little")
        storages[storage] = file.read(num_items * unpickler.dtypes[storage].itemsize)
    return {
        name: _as_array(tensor, storages[tensor.storage], unpickler.dtypes[tensor.storage])
        for name, tensor in tensors.items()
    }


def _as_array(tensor: _Tensor, storage: bytes, dtype: np.dtype[Any]) -> np.ndarray:
    offset, *strides = (n * dtype.itemsize for n in (tensor.offset, *tensor.strides))
    return np.ndarray(tensor.shape, dtype, storage, offset, tuple(strides))
