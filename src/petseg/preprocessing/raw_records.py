"""Read the TFRecord files of data/raw record by record, at any offset, without tf.data.

A record is its length (8 bytes, little-endian), the length's checksum (4), the data, and the data's
checksum (4).
"""

import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import tensorflow as tf

from petseg.core.errors import first_line
from petseg.raw import raw_read_error

_HEADER_BYTES, _FOOTER_BYTES = 12, 4


@dataclass(frozen=True)
class RawExample:
    """An example as TFDS wrote it; image and mask are still encoded."""

    file_name: str
    label: int
    supercategory: int
    image: bytes
    mask: bytes


def parse_raw_example(record: bytes) -> RawExample:
    """Parse a record of the data set."""
    feature = tf.train.Example.FromString(record).features.feature
    return RawExample(
        file_name=feature["file_name"].bytes_list.value[0].decode(),
        label=feature["label"].int64_list.value[0],
        supercategory=feature["species"].int64_list.value[0],
        image=feature["image"].bytes_list.value[0],
        mask=feature["segmentation_mask"].bytes_list.value[0],
    )


@contextmanager
def open_raw_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file of data/raw. Raises PetsegError if it can't be opened, or read in the block."""
    try:
        with path.open("rb") as file:
            yield file
    except OSError as error:
        raise raw_read_error(first_line(error)) from error


def read_records(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield (offset, record) for each record of a file whose sha256 has been verified."""
    with open_raw_file(path) as file:
        offset = 0
        while header := file.read(_HEADER_BYTES):
            yield offset, _read_data(file, header)
            offset = file.tell()


def read_record_at(file: BinaryIO, offset: int, checksum: int) -> bytes:
    """Read the record at an offset. Raises PetsegError if its `record_checksum` differs."""
    file.seek(offset)
    record = _read_data(file, file.read(_HEADER_BYTES))
    if record_checksum(record) != checksum:
        raise raw_read_error(f"a record of {Path(file.name).name} changed after it was verified")
    return record


def record_checksum(record: bytes) -> int:
    """Return the CRC-32 of a record."""
    return zlib.crc32(record)


def _read_data(file: BinaryIO, header: bytes) -> bytes:
    length = int.from_bytes(header[:8], "little")
    if length > os.fstat(file.fileno()).st_size:
        return b""
    return file.read(length + _FOOTER_BYTES)[:-_FOOTER_BYTES]
