"""JSON documents that contain their own checksum, so that damage and edits are detected."""

import hashlib
import json
from pathlib import Path
from typing import Any

from petseg.core.errors import PetsegError

_CHECKSUM_KEY = "sha256"
_MAX_BYTES = 64 * 2**20


def sealed_json(document: dict[str, Any]) -> str:
    """Return a JSON object as text. Its last entry is a checksum of the others and their order."""
    sealed = {**document, _CHECKSUM_KEY: _checksum(document)}
    return json.dumps(sealed, indent=2, ensure_ascii=False) + "\n"


def read_sealed_json(path: Path, format_number: int, remedy: str) -> dict[str, Any]:
    """Read what `sealed_json` wrote, verify its checksum, and return the document without it.

    Raises PetsegError if the file is missing, damaged, edited, or of another format. The message
    ends with `remedy`.
    """
    try:
        if not path.is_file() or path.stat().st_size > _MAX_BYTES:
            raise ValueError("not a document")
        document = json.loads(path.read_text(encoding="utf-8"))
        checksum, number = document.pop(_CHECKSUM_KEY, None), document["format"]
    except (OSError, ValueError, AttributeError, TypeError, KeyError, RecursionError) as error:
        raise PetsegError(f"{path} is missing or damaged; {remedy}.") from error
    if number != format_number:
        raise PetsegError(
            f"{path} has format {str(number)[:20]}, but this version of petseg reads "
            f"{format_number}; {remedy}."
        )
    if checksum != _checksum(document):
        raise PetsegError(f"{path} was edited after it was written (sha256 differs); {remedy}.")
    return dict(document)


def _checksum(document: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(document).encode()).hexdigest()
