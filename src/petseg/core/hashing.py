"""SHA-256 of files, and hash-based random numbers, which depend on neither machine nor order."""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

NO_GROUP = "none"


def unit_hash(*parts: object) -> float:
    """Hash the parts, as text, to a uniformly distributed number in [0, 1)."""
    digest = hashlib.sha256("\0".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


def group_of(name: str, pattern: str) -> str:
    """Return what decides where an image goes: the part that the pattern finds, or its name."""
    match = None if pattern == NO_GROUP else re.search(pattern, name)
    return name if match is None or match[1] is None else match[1]


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of_files(contents: Mapping[str, bytes]) -> str:
    """Return the sha256 of a folder's files, by relative path.

    In the folder, this computes the same:
    find * -type f | LC_ALL=C sort | xargs sha256sum | sha256sum
    """
    lines = (f"{hashlib.sha256(contents[path]).hexdigest()}  {path}\n" for path in sorted(contents))
    return hashlib.sha256("".join(lines).encode()).hexdigest()
