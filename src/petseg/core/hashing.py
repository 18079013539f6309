"""SHA-256 of files, and numbers drawn by hash: the same on every machine and in every order."""

import hashlib
from pathlib import Path


def unit_hash(*parts: object) -> float:
    """A number in [0, 1) that follows from the parts' texts alone, evenly spread over different parts."""
    digest = hashlib.sha256("\0".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


def sha256_of(path: Path) -> str:
    """The sha256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
