"""Write files and folders atomically: a kill, full disk or power failure leaves nothing half-done.

New content goes to a hidden sibling that git and DVC ignore, is flushed to disk, and is renamed.
Its name has the machine and the process ID, so that two processes that write one path
don't mix, and a later one can remove what a killed one left behind.
"""

import errno
import functools
import hashlib
import json
import os
import platform
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_PID_NAMESPACE = Path("/proc/self/ns/pid")  # on Linux, a link that names the namespace
_MACHINE_ID = Path("/etc/machine-id")
_PARTIAL = re.compile(r"\.(.+)\.([0-9a-f]{6})-(\d+)\.partial")
_MAX_NAME_BYTES = 200  # file systems take 255


def atomic_write(path: Path, data: bytes | str, *, flush_folder: bool = True) -> None:
    """Create or replace a file, with text as UTF-8. Create its folder if necessary.

    Without `flush_folder`, a power failure may undo it until `flush_entries` is called.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers_once(path.parent.absolute())
    partial = _partial(path)
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
    if flush_folder:
        flush_entries(path.parent)


def write_json(path: Path, content: object) -> None:
    """Write JSON, which has no NaN: raises ValueError for one."""
    atomic_write(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


def flush_entries(folder: Path) -> None:
    """Flush a folder's entries to disk, and its own entry: it may be new."""
    _flush(folder)
    _flush(folder.absolute().parent)


@contextmanager
def atomic_directory(path: Path) -> Iterator[Path]:
    """Yield an empty folder to fill. It replaces `path` at the end, or is deleted on an error."""
    _restore_previous(path)
    _remove_leftovers(path.parent, _short_name(path))
    partial = _partial(path)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        for item in sorted(partial.rglob("*"), reverse=True):  # a folder's files before the folder
            _flush(item)
        _flush(partial)
        _replace_directory(partial, path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _replace_directory(new: Path, path: Path) -> None:
    """Move `new` to `path`. The old folder is deleted only once the new folder is in place."""
    previous = _previous(path)
    shutil.rmtree(previous, ignore_errors=True)
    had_previous = path.is_dir() and not path.is_symlink()
    if had_previous:
        path.rename(previous)
    try:
        new.rename(path)
    except BaseException:
        if had_previous:
            previous.rename(path)
        raise
    try:
        _flush(path.parent)
    finally:
        shutil.rmtree(previous, ignore_errors=True)


def _restore_previous(path: Path) -> None:
    """Put the old folder back if an earlier process was killed between its two renames."""
    if _previous(path).is_dir() and not path.exists():
        _previous(path).rename(path)


@functools.cache
def _remove_leftovers_once(folder: Path) -> None:
    """Do it once per folder: listing one before each of its thousands of files would take long."""
    _remove_leftovers(folder)


def _remove_leftovers(folder: Path, own_name: str = "") -> None:
    """Delete the partial files and folders of processes of this machine that no longer run.

    Those for `own_name` are deleted whichever other machine (or container) left them.
    """
    with suppress(OSError):  # there is no such folder yet, or it may not be listed
        for item in list(folder.iterdir()):
            found = _PARTIAL.fullmatch(item.name)
            if found is None:
                continue
            name, machine, pid = found.groups()
            if machine == _machine() and _is_running(int(pid)):
                continue
            if machine != _machine() and name != own_name:
                continue
            if item.is_dir() and not item.is_symlink():
                shutil.rmtree(item, ignore_errors=True)
            else:
                item.unlink(missing_ok=True)


def _is_running(pid: int) -> bool:
    if os.name != "posix":
        return True
    try:
        os.kill(pid, 0)  # sends nothing
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # of another user, or not a process ID
        return True
    return True


@functools.cache
def _machine() -> str:
    """Return a name for the PID namespace that this process is in.

    Containers may have the name of their host, but not its processes.
    """
    parts = [platform.node()]
    with suppress(OSError):
        parts.append(os.readlink(_PID_NAMESPACE))  # the same in all virtual machines
    with suppress(OSError):
        parts.append(_MACHINE_ID.read_text(encoding="utf-8"))
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()[:6]


def _partial(path: Path) -> Path:
    """Return the sibling that this process writes; on other systems than POSIX they share one."""
    pid = os.getpid() if os.name == "posix" else 0
    return path.with_name(f".{_short_name(path)}.{_machine()}-{pid}.partial")


def _short_name(path: Path) -> str:
    name = os.fsencode(path.name)
    return path.name if len(name) <= _MAX_NAME_BYTES else hashlib.sha256(name).hexdigest()


def _previous(path: Path) -> Path:
    return path.with_name(f".{path.name}.previous.partial")


def _flush(path: Path) -> None:
    """Flush a file, or the entries of a folder, to disk. Some network drives can't flush a folder.

    Raises OSError if it fails for another reason.
    """
    if path.is_dir() and os.name != "posix":
        return  # other systems can't open a folder
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if not (path.is_dir() and error.errno in (errno.EINVAL, errno.ENOTSUP)):
            raise
    finally:
        os.close(descriptor)
