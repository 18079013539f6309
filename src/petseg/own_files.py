"""Recognize the files that petseg wrote for a user, so that it never overwrites any other.

Images are signed: a PNG text chunk or a JPEG comment holds the sha256 of the rest of the file.
Copies keep it. Once an image is edited, it is gone or no longer matches.
"""

import hashlib
import zlib
from pathlib import Path

from petseg.core.errors import PetsegError

_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0"
_PNG_OFFSET = 33  # behind the header chunk
_JPEG_OFFSET = 20  # behind the JFIF segment
_TEXT = b"petseg sha256 "
_DIGEST_LENGTH = 64


def sign_image(data: bytes) -> bytes:
    """Add the signature to a PNG or JPEG as Pillow and Matplotlib write it."""
    offset, comment = _offset(data), _comment(data, hashlib.sha256(data).hexdigest())
    return b"".join([data[:offset], comment, memoryview(data)[offset:]])  # it may be large


def has_signature(path: Path) -> bool:
    """Whether petseg wrote this image, even if somebody has edited it since. Raises OSError."""
    with path.open("rb") as file:
        start = file.read(200)
    return _TEXT in start[_offset(start) :]


def is_unchanged(path: Path) -> bool:
    """Whether petseg wrote this image and nobody has edited it since. Raises OSError."""
    data = path.read_bytes()
    offset = _offset(data)
    end = offset + len(_comment(data, "0" * _DIGEST_LENGTH))
    checksum = hashlib.sha256(data[:offset])
    checksum.update(memoryview(data)[end:])
    return data[offset:end] == _comment(data, checksum.hexdigest())


def require_own_file(path: Path, first_columns: str = "") -> None:
    """Raise PetsegError if the file exists, but isn't an image that petseg wrote.

    With `first_columns`, it must be a table that starts with them.
    """
    if not path.exists():
        return
    text = first_columns.encode()
    if not (path.read_bytes().startswith(text) if text else is_unchanged(path)):
        raise PetsegError(
            f"{path} was not written by petseg, or was edited since; use another --out, or move "
            "the file."
        )


def _offset(data: bytes) -> int:
    return _PNG_OFFSET if data.startswith(_PNG) else _JPEG_OFFSET


def _comment(data: bytes, digest: str) -> bytes:
    text = _TEXT + digest.encode()
    if data.startswith(_PNG):
        chunk = b"tEXt" + b"Software\0" + text
        return len(chunk[4:]).to_bytes(4, "big") + chunk + zlib.crc32(chunk).to_bytes(4, "big")
    return b"\xff\xfe" + (len(text) + 2).to_bytes(2, "big") + text
