"""SHA-256 of files, and hash-based random numbers, which depend on neither machine nor order."""

import hashlib
from pathlib import Path


def unit_hash(*parts: object) -> float:
    """Hash the parts, as text, to a uniformly distributed number in [0, 1)."""
    digest = hashlib.sha256("\0".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
