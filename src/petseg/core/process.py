"""What a command changes of its own process for a while: its stderr, its environment variables."""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TextIO


@contextmanager
def suppress_stderr() -> Iterator[TextIO]:
    """Nothing comes to stderr while the block runs: some libraries greet there, whatever their log level.

    Exceptions still come, and what is written to the stream that it gives.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        with open(kept, "w", encoding="utf-8", closefd=False) as stderr:
            yield stderr
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)


@contextmanager
def environment_variables(values: Mapping[str, str]) -> Iterator[None]:
    """Environment variables for the processes that the block starts."""
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
