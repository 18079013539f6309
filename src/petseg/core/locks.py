"""Locks between processes."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from petseg.core.errors import PetsegError


@contextmanager
def exclusive_lock(lock_file: Path, activity: str) -> Iterator[None]:
    """Hold a lock while the block runs. If the process dies, the operating system releases it.

    Raises PetsegError "Another process is {activity}; ..." if another process holds it.
    """
    from filelock import FileLock, Timeout  # part of the extra "train"

    lock_file.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(lock_file)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise PetsegError(
            f"Another process is {activity}; wait until it has finished, or stop it."
        ) from error
    try:
        yield
    finally:
        lock.release()
