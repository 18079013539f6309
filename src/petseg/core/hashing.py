"""SHA-256 of files, and random numbers by hash: the same on every machine and in every order."""

import hashlib
from pathlib import Path


def unit_hash(*parts: object) -> float:
    """Hash the text of the parts to a number in [0, 1), uniform over different parts."""
    digest = hashlib.sha256("\0".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
