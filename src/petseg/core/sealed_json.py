"""JSON documents that carry their own checksum, so that a damaged or edited one is noticed."""

import hashlib
import json
from pathlib import Path
from typing import Any

from petseg.core.errors import PetsegError

_SEAL = "sha256"
_MAX_JSON = 64 * 2**20  # bytes


def sealed_json(document: dict[str, Any]) -> str:
    """A JSON object as text, with the checksum of all it says, order included, in its last entry."""
    return json.dumps({**document, _SEAL: _checksum(document)}, indent=2, ensure_ascii=False) + "\n"


def read_sealed_json(path: Path, format_number: int, remedy: str) -> dict[str, Any]:
    """The object that `sealed_json` wrote to a file, its checksum compared and taken off.

    Raises PetsegError, which ends with the remedy, if the file is missing, no such JSON, of another format, or changed.
    """
    try:
        if not path.is_file() or path.stat().st_size > _MAX_JSON:
            raise ValueError("no document")
        document = json.loads(path.read_text(encoding="utf-8"))
        seal, number = document.pop(_SEAL, None), document["format"]
    except (OSError, ValueError, AttributeError, TypeError, KeyError, RecursionError) as error:
        raise PetsegError(f"{path} is missing or damaged; {remedy}.") from error
    if number != format_number:
        raise PetsegError(
            f"{path} is of format {str(number)[:20]}, this petseg reads {format_number}; {remedy}."
        )
    if seal != _checksum(document):
        raise PetsegError(
            f"{path} was changed after it was written (its own sha256 differs); {remedy}."
        )
    return dict(document)


def _checksum(document: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(document).encode()).hexdigest()
