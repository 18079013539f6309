"""SHA-256 of files, and hash-based random numbers, which depend on neither machine nor order."""

import hashlib
import re
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
