"""Files and folders that appear whole or not at all: after a kill, on a full disk, after a power cut.

What is new is written beside its place under a name that git and DVC ignore, flushed to the disk, and renamed.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def atomic_write(path: Path, data: bytes | str) -> None:
    """Replace a file, text as UTF-8; its folder is made if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = _beside(path)
    try:
        with partial.open("wb") as file:
            file.write(data.encode() if isinstance(data, str) else data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        with suppress(OSError):
            partial.unlink()
        raise
    _flush(path.parent)
    _flush(path.parent.absolute().parent)  # which may have got a new folder


@contextmanager
def atomic_directory(path: Path) -> Iterator[Path]:
    """An empty folder to fill; it takes the place of `path` at the end, or is gone if there was an error."""
    partial = _beside(path)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        for item in sorted(partial.rglob("*"), reverse=True):  # a folder's files before the folder
            _flush(item)
        _flush(partial)
        shutil.rmtree(path, ignore_errors=True)
        partial.rename(path)
        _flush(path.parent)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.partial")


def _flush(path: Path) -> None:
    """Bring a file, or a folder's list of names, to the disk."""
    if path.is_dir() and os.name != "posix":
        return  # other systems can't open a folder
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
