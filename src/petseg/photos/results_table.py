"""predictions.csv: one row per photo over all runs into the same folder."""

import csv
import io
import os
from collections.abc import Mapping
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from petseg.core.atomic_io import atomic_write
from petseg.core.errors import PetsegError

TABLE = "predictions.csv"
_COLUMNS = ("photo", "modified", "results", "width", "height", "seconds", "model")
_DIGITS = 4


@dataclass(frozen=True)
class PhotoRow:
    """A row of the table."""

    photo: str  # absolute path
    modified: str  # when it was last changed, as of `time_of`
    results: str  # the photo's files are named OUT/results + RESULT_SUFFIXES
    width: int
    height: int
    seconds: float  # reading and predicting, averaged over the batch; without writing the results
    model: str  # the model's checksum
    shares: dict[str, float]

    def as_cells(self) -> dict[str, str]:
        rounded = {"seconds": round(self.seconds, _DIGITS)}
        cells = {name: getattr(self, name) for name in _COLUMNS} | rounded
        cells |= {f"share.{name}": round(share, _DIGITS) for name, share in self.shares.items()}
        return {name: str(cell) for name, cell in cells.items()}


def time_of(file: Path) -> str:
    """Return when a file was last changed, such as 2026-05-04T12:30:15.250000+00:00.

    Empty if there is no such file.
    """
    try:
        changed = file.stat().st_mtime
    except OSError:
        return ""
    return datetime.fromtimestamp(changed, UTC).isoformat(timespec="microseconds")


class ResultsTable:
    """The table of an output folder, with the rows of earlier runs."""

    def __init__(self, out: Path, replace: bool = False) -> None:
        """Read the folder's table, if it has one. Columns that a user has added stay.

        If the file isn't such a table, raises PetsegError unless it may be replaced.
        """
        self._path = out / TABLE
        self._content = self._read_content()
        self._columns, rows = list[str](_COLUMNS), list[dict[str, str]]()
        if self._content is not None:
            with suppress(PetsegError) if replace else nullcontext():
                self._columns, rows = _parse(self._content, self._path)
        self._rows = {os.path.realpath(row["photo"]): row for row in rows}  # by real path
        self._photos = {row["results"]: photo for photo, row in self._rows.items()}

    def row_of(self, photo: Path) -> dict[str, str] | None:
        """Return the cells of a photo's row."""
        return self._rows.get(os.path.realpath(photo))

    def photo_of(self, results: str) -> str | None:
        """Return the real path of the photo whose result files have this name."""
        return self._photos.get(results)

    def add(self, row: PhotoRow) -> None:
        """Add a row. It replaces the photo's earlier one, and that of overwritten results."""
        photo, cells = os.path.realpath(row.photo), row.as_cells()
        earlier = self._rows.pop(photo, {})
        self._photos.pop(earlier.get("results", ""), None)
        self._rows.pop(self._photos.get(row.results, ""), None)
        kept = {name: cell for name, cell in earlier.items() if not name.startswith("share.")}
        self._rows[photo] = kept | cells
        self._photos[row.results] = photo
        self._columns += [name for name in cells if name not in self._columns]

    def mark_unfinished(self, photos: Mapping[Path, str]) -> bool:
        """Take the model out of the rows whose results these photos' results replace.

        The values say what the results are called. Whether there are such rows.
        """
        real = {os.path.realpath(photo) for photo in photos}
        owners = real | {self._photos.get(results) for results in photos.values()}
        rows = [self._rows[photo] for photo in owners if photo in self._rows]
        for row in rows:
            row["model"] = ""
        return bool(rows)

    def write(self) -> None:
        """Write the table. Raises PetsegError if it isn't as this object has read or written it."""
        if self._read_content() != self._content:
            raise PetsegError(
                f"{self._path} has changed in the meantime; run petseg predict again, only once at "
                "a time for an output folder, and don't edit the table meanwhile."
            )
        text = io.StringIO()
        writer = csv.DictWriter(text, self._columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(self._rows.values())
        self._content = text.getvalue().encode()
        atomic_write(self._path, self._content)

    def _read_content(self) -> bytes | None:
        return self._path.read_bytes() if self._path.exists() else None


def _parse(content: bytes, path: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Return the columns and rows. Raises PetsegError unless petseg wrote the table."""
    try:
        reader = csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline=""))
        columns = list(reader.fieldnames or ())
        rows = list(reader) if set(_COLUMNS) <= set(columns) else None
    except (ValueError, csv.Error):
        rows = None
    if rows is None or any(None in row or None in row.values() for row in rows):
        raise PetsegError(
            f"{path} is not a table of petseg predict; use another --out, or --overwrite to "
            "replace it."
        )
    return columns, rows
