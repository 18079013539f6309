"""The one family of errors that a user can cause and mend, and what a full disk and its like mean to a user."""

import errno
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_WRAPPINGS = [
    re.compile(r"\{\{.*?\}\}"),
    re.compile(r"^.* transformation with iterator: \S+: "),
    re.compile(r"^assertion failed: \[|\] \[.*"),
    re.compile(r"\s*\[Op:.*"),
]
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)
_IN_THE_WAY = (errno.EEXIST, errno.EISDIR, errno.ENOTDIR, errno.ENOTEMPTY)


class PetsegError(Exception):
    """A mistake in parameters, data or environment, told in one sentence: what is wrong, where, and what to do.

    The stages and `petseg` print the sentence and exit with 1, without a traceback.
    """


@contextmanager
def translate(
    message: Callable[[Exception], str | None], *kinds: type[Exception]
) -> Iterator[None]:
    """Raise a PetsegError with a message of ours for an exception of these kinds in the block.

    `message` gets the exception. If it returns None the exception passes unchanged, and so does a PetsegError.
    Without `kinds`, every Exception is translated.
    """
    try:
        yield
    except PetsegError:
        raise
    except kinds or Exception as error:
        text = message(error)
        if text is None:
            raise
        raise PetsegError(text) from error


def explain(
    error: Exception,
    again: str = "dvc repro",
    less_memory: str = "lower the stage's batch_size or preprocess.image_size",
) -> str | None:
    """The sentence for what the machine can do to any command: no room, no permission, no memory, a file gone.

    `again` is what to run once that is mended. None for every other error: that one is a bug, and its traceback should
    be seen. TensorFlow's errors are known by their class's name, so that this module stays light.
    """
    kind, text = type(error).__name__, str(error)
    number = error.errno if isinstance(error, OSError) else None
    if is_disk_full(error):
        return f"The disk is full{_place(error)}; make room, then run {again} again."
    if number in _FORBIDDEN or "Read-only file system" in text or kind == "PermissionDeniedError":
        return f"No permission{_place(error)} ({_reason(error)}); allow it, then run {again} again."
    if number in _IN_THE_WAY:
        return f"A file or folder is in the way{_place(error)} ({_reason(error)}); move it, then run {again} again."
    if number == errno.ENOENT or (kind == "NotFoundError" and "No such file" in text):
        return f"A file is gone that was there before{_place(error)} ({_reason(error)}); run {again} again."
    if number == errno.ENAMETOOLONG:
        return f"A name is too long for this disk{_place(error)}; give it a shorter one."
    if number == errno.EIO or "Input/output error" in text:
        return f"The disk fails{_place(error)} (input/output error); look after it, then run {again} again."
    if number == errno.EMFILE or "Too many open files" in text:
        return f"Too many files are open{_place(error)}; raise the limit (ulimit -n), or set fewer preprocess.shards."
    if isinstance(error, MemoryError) or kind == "ResourceExhaustedError":
        return f"Out of memory ({_reason(error)}); {less_memory}."
    return None


def is_disk_full(error: Exception) -> bool:
    number, text = error.errno if isinstance(error, OSError) else None, str(error)
    return (
        number in _DISK_FULL or "No space left on device" in text or "Disk quota exceeded" in text
    )


def first_line(error: BaseException) -> str:
    """What an error says in its first line, or its kind if it says nothing; TensorFlow's wrapping is taken off."""
    text = (str(error).strip() or type(error).__name__).splitlines()[0]
    for wrapping in _WRAPPINGS:
        text = wrapping.sub("", text)
    return text.strip(" .;")[:200]


def _reason(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or first_line(error)


def _place(error: Exception) -> str:
    name = error.filename if isinstance(error, OSError) else None
    return f" at {name}" if name else ""
