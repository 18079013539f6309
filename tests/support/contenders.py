"""Contenders for tests of the benchmarks; their processes import nothing else."""

import os
from pathlib import Path

from benchmarks.contenders import Prepared


def write_name(file: Path, name: str) -> Prepared:
    """Append the contender's name to a file at each turn; the figure is the file's length."""

    def measure() -> float:
        with file.open("a") as stream:
            stream.write(name)
        return file.stat().st_size

    return Prepared(measure, {"process": os.getpid()})


def fail() -> Prepared:
    raise ValueError("no such thing")


def die() -> Prepared:
    os._exit(3)
