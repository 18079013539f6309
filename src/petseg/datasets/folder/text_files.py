"""Read text and JSON files of a user's folder, of a sensible size."""

import codecs
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from petseg.core.errors import PetsegError

_MAX_BYTES = 2 * 2**30
_EDGE_BYTES = 2**16

_Model = TypeVar("_Model", bound=BaseModel)


def read_file(path: Path) -> bytes:
    """Read a file. Raises PetsegError if that fails, or if the file is larger than 2 GiB."""
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise PetsegError(f"{path} is larger than 2 GiB; split it.")
        return path.read_bytes()
    except OSError as error:
        raise PetsegError(f"{path} can't be read ({error.strerror}).") from error


def mentions(path: Path, texts: Sequence[bytes], hint: bytes) -> bool:
    """Whether a file has one of the texts at its beginning or end, or anywhere if it has a hint.

    Most files are judged by 64 KiB from each end. The hint says that one may be of the kind.
    """
    try:
        with path.open("rb") as file:
            head = file.read(_EDGE_BYTES)
            file.seek(max(0, path.stat().st_size - _EDGE_BYTES))
            both = head + file.read()
            if any(text in both for text in texts) or hint not in both:
                return any(text in both for text in texts)
    except OSError:
        return False
    try:
        content = read_file(path)
    except PetsegError:
        return True  # which the reader will say
    return any(text in content for text in texts)


def read_text(path: Path) -> str:
    """Read UTF-8 text, or what a byte order mark says. Raises PetsegError."""
    try:
        return decode(read_file(path))
    except UnicodeDecodeError as error:
        raise PetsegError(f"{path} is not UTF-8 text (byte {error.start}).") from error


def decode(data: bytes, errors: str = "strict") -> str:
    """Decode UTF-8, or what a byte order mark says. Raises UnicodeDecodeError if strict."""
    has_mark = data[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    return data.decode("utf-16" if has_mark else "utf-8-sig", errors)


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the numbered lines of a text file that aren't blank."""
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if line.strip():
            yield number, line.strip()


def read_json(path: Path, model: type[_Model]) -> _Model:
    """Read JSON of a certain form. Raises PetsegError with the first place that differs."""
    try:
        return model.model_validate_json(read_file(path).removeprefix(b"\xef\xbb\xbf"))
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        reason = (f"{place}: {first['msg']}" if place else first["msg"])[:200]
        more = f", and {error.error_count() - 1} more" if error.error_count() > 1 else ""
        raise PetsegError(f"{path} can't be read ({reason}{more}); fix or remove it.") from error
