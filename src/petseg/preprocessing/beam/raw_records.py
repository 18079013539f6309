"""The TFRecord files of data/raw, record by record and at any position, without tf.data.

A record is its length (8 bytes, little-endian), the length's checksum (4), the data, and the data's checksum (4).
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

_HEADER, _FOOTER = 12, 4


@dataclass(frozen=True)
class RawPicture:
    """A picture as TFDS wrote it, nothing decoded."""

    file_name: str
    label: int
    supercategory: int
    image: bytes
    mask: bytes


def parse(record: bytes) -> RawPicture:
    feature = tf.train.Example.FromString(record).features.feature
    return RawPicture(
        file_name=feature["file_name"].bytes_list.value[0].decode(),
        label=feature["label"].int64_list.value[0],
        supercategory=feature["species"].int64_list.value[0],
        image=feature["image"].bytes_list.value[0],
        mask=feature["segmentation_mask"].bytes_list.value[0],
    )


@contextmanager
def open_raw(path: Path) -> Iterator[BinaryIO]:
    """Raises PetsegError if the file can't be opened, or read in the block."""
    try:
        with path.open("rb") as file:
            yield file
    except OSError as error:
        raise raw_read_error(first_line(error)) from error


def read_all(path: Path) -> Iterator[tuple[int, bytes]]:
    """(position, record) of each record of a file whose sha256 is known to be right."""
    with open_raw(path) as file:
        position = 0
        while header := file.read(_HEADER):
            yield position, _rest(file, header)
            position = file.tell()


def read_at(file: BinaryIO, position: int, expected: int) -> bytes:
    """The record at a position. Raises PetsegError if it hasn't the expected `checksum`."""
    file.seek(position)
    record = _rest(file, file.read(_HEADER))
    if checksum(record) != expected:
        raise raw_read_error(f"a record of {Path(file.name).name} has changed since it was checked")
    return record


def checksum(record: bytes) -> int:
    return zlib.crc32(record)


def _rest(file: BinaryIO, header: bytes) -> bytes:
    length = int.from_bytes(header[:8], "little")
    if length > os.fstat(file.fileno()).st_size:
        return b""
    return file.read(length + _FOOTER)[:-_FOOTER]
