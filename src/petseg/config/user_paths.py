"""Paths in params.yaml: whether they exist, also in a copy of the project."""

import os
from collections.abc import Callable
from pathlib import Path

from petseg.config.paths import main_repository

ABSOLUTE = "an absolute path, because dvc exp run --temp and the queue run a copy of the project"


def exists(path: str, is_kind: Callable[[Path], bool]) -> bool:
    """Whether a path exists and is of a kind, such as `Path.is_dir`."""
    try:
        return is_kind(Path(path))
    except (OSError, ValueError):  # a name too long for the file system
        return False


def in_project_only(path: str) -> bool:
    """Whether a relative path holds more in the project than in this copy of it.

    `dvc exp run --temp` and the queue run copies, which have only what git and DVC track.
    """
    root = main_repository()
    if root.resolve() == Path.cwd() or not exists(str(root / path), Path.exists):
        return False
    if not (root / path).is_dir() or not Path(path).is_dir():
        return not Path(path).exists()
    return not set(os.listdir(root / path)) <= set(os.listdir(path))
