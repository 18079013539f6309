"""Changes to this process: its stderr, environment variables and open-file limit."""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TextIO

_OTHER_FILES = 256  # that libraries and TensorFlow may have open


@contextmanager
def suppress_stderr() -> Iterator[TextIO]:
    """Discard whatever libraries print to stderr, including from C++, at any log level.

    Yield a stream that still reaches the real stderr.
    """
    sys.stderr.flush()
    original = os.dup(2)
    try:
        with open(os.devnull, "wb") as devnull:
            os.dup2(devnull.fileno(), 2)
        with open(original, "w", encoding="utf-8", closefd=False) as stderr:
            yield stderr
    finally:
        sys.stderr.flush()
        os.dup2(original, 2)
        os.close(original)


@contextmanager
def environment_variables(values: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables while the block runs, for the processes that it starts."""
    before = {key: os.environ.get(key) for key in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for key, value in before.items():
            if value is None:
                del os.environ[key]
            else:
                os.environ[key] = value


def raise_open_file_limit(num_files: int) -> None:
    """Allow this process to have this many files open, as far as the system permits."""
    if os.name != "posix":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = num_files + _OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        new_soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (new_soft, hard))
