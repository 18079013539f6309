"""Locks between processes, which the system releases when their process ends, however it ends."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from petseg.core.errors import PetsegError


@contextmanager
def exclusive_lock(lock_file: Path, what: str) -> Iterator[None]:
    """Hold a lock while the block runs; the system frees it when the process ends, however it ends.

    Raises PetsegError if another process holds it: `what` says what that one is doing.
    """
    lock_file.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(lock_file)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise PetsegError(
            f"Another process {what}; wait until it has ended, or stop it."
        ) from error
    try:
        yield
    finally:
        lock.release()
