"""PetsegError, for errors that users can fix, and the messages for failures of the machine."""

import errno
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_TENSORFLOW_WRAPPINGS = [
    re.compile(r"\{\{.*?\}\}"),
    re.compile(r"^.* transformation with iterator: \S+: "),
    re.compile(r"^assertion failed: \[|\] \[.*"),
    re.compile(r"\s*\[Op:.*"),
]
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)
_IN_THE_WAY = (errno.EEXIST, errno.EISDIR, errno.ENOTDIR, errno.ENOTEMPTY)


class PetsegError(Exception):
    """An error in parameters, data or environment: what is wrong, where, and what to do.

    The stages and `petseg` print the message and exit with 1, without a traceback.
    """


@contextmanager
def translate(
    message: Callable[[Exception], str | None], *kinds: type[Exception]
) -> Iterator[None]:
    """Raise a PetsegError with this message for any exception of these kinds in the block.

    If `message(exception)` is None, the exception passes unchanged. So does any PetsegError.
    Without `kinds`, every Exception is translated.
    """
    caught = kinds or (Exception,)
    try:
        yield
    except PetsegError:
        raise
    except caught as error:
        text = message(error)
        if text is None:
            raise
        raise PetsegError(text) from error


def explain(
    error: Exception,
    command: str = "dvc repro",
    memory_hint: str = "lower the stage's batch_size or preprocess.image_size",
) -> str | None:
    """Return the message for a failure of the machine, or for a missing file or package.

    `command` is what to run again once the cause is fixed. Return None for any other error: it is a
    bug, and the user should see its traceback. TensorFlow's errors are recognized by class name,
    which avoids importing TensorFlow here.
    """
    kind, text = type(error).__name__, str(error)
    if missing := explain_missing(error, command):
        return missing
    number = error.errno if isinstance(error, OSError) else None
    where, reason, retry = _place(error), _reason(error), f"then run {command} again"
    if is_disk_full(error):
        return f"The disk is full{where}; free some space, {retry}."
    if number in _FORBIDDEN or "Read-only file system" in text or kind == "PermissionDeniedError":
        return f"Access denied{where} ({reason}); change the permissions, {retry}."
    if number in _IN_THE_WAY:
        return f"A file or folder is in the way{where} ({reason}); move it, {retry}."
    if number == errno.ENOENT or (kind == "NotFoundError" and "No such file" in text):
        return f"A file has disappeared{where} ({reason}); run {command} again."
    if number == errno.ENAMETOOLONG:
        return f"The file name is too long for this disk{where}; use a shorter name."
    if number == errno.EFBIG:
        limits = "the file system or ulimit -f allows; raise the limit or use another disk"
        return f"The file{where} is larger than {limits}, {retry}."
    if number == errno.EIO or "Input/output error" in text:
        return f"The disk failed{where} (input/output error); check the disk, {retry}."
    if number == errno.EMFILE or "Too many open files" in text:
        return f"Too many open files{where}; raise ulimit -n or lower preprocess.shards, {retry}."
    if isinstance(error, MemoryError) or kind == "ResourceExhaustedError":
        return f"Out of memory ({reason}); {memory_hint}."
    return None


def explain_missing(
    error: Exception, what: str, extra: str = "train", alternative: str = ""
) -> str | None:
    """Return the message for a package that only this extra installs, or None for other errors.

    `what` needs the package. `pip install petseg` alone installs what exported models need.
    """
    package = error.name if isinstance(error, ModuleNotFoundError) else None
    if package is None or package.split(".")[0] == "petseg":
        return None
    remedies = [f"run pip install 'petseg[{extra}]'", *([alternative] if alternative else [])]
    return f"{what} needs {package}, which isn't installed; {', or '.join(remedies)}."


def is_disk_full(error: Exception) -> bool:
    number, text = error.errno if isinstance(error, OSError) else None, str(error)
    return (
        number in _DISK_FULL or "No space left on device" in text or "Disk quota exceeded" in text
    )


def first_line(error: BaseException) -> str:
    """Return an error's first line without TensorFlow's wrapping, or its type if it has no text."""
    text = (str(error).strip() or type(error).__name__).splitlines()[0]
    for wrapping in _TENSORFLOW_WRAPPINGS:
        text = wrapping.sub("", text)
    return text.strip(" .;")[:200]


def _reason(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or first_line(error)


def _place(error: Exception) -> str:
    name = (error.filename2 or error.filename) if isinstance(error, OSError) else None
    return f" at {name}" if name else ""
