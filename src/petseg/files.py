"""Files and folders that appear whole or not at all: after a kill, on a full disk, after a power cut.

What is new is written beside its place under a name that git and DVC ignore, flushed to the disk, and renamed.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from petseg.errors import PetsegError


def write_whole(path: Path, data: bytes | str) -> None:
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
def whole_folder(path: Path) -> Iterator[Path]:
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


def allow_open_files(count: int) -> None:
    """Let this process have so many files open at a time, as far as the system lets it."""
    if os.name != "posix":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + 256  # for libraries and TensorFlow
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


@contextmanager
def alone(lock_file: Path, what: str) -> Iterator[None]:
    """Hold a lock while the block runs; the system frees it when the process ends, however it ends.

    Raises PetsegError if another process holds it: `what` says what that one is doing.
    """
    lock_file.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(lock_file)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise PetsegError(f"Another process {what}; wait until it has ended, or stop it.") from error
    try:
        yield
    finally:
        lock.release()


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
