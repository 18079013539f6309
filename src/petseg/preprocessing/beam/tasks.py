"""What a worker of a distributed preprocessing does: scan one file of data/raw, or write one shard.

Nothing here knows which engine calls it. What goes from the one task to the other is small: where in data/raw the
pictures of a shard lie, never a pixel. A mistake in the data is returned as a `Failure`: an exception would come back
wrapped by the engine, and which one of several would be chance.
"""

import functools
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from petseg.config.params import PreprocessParams
from petseg.core.errors import PetsegError, explain
from petseg.core.hashing import sha256_of
from petseg.preprocessing import transform
from petseg.preprocessing.beam.raw_records import (
    RawPicture,
    checksum,
    open_raw,
    parse,
    read_all,
    read_at,
)
from petseg.preprocessing.splits import split_of
from petseg.preprocessing.writer import Tally, shard_name
from petseg.raw import DatasetInfo, verify_file
from petseg.shards.example import serialize
from petseg.shards.manifest import SPLITS, Shard

UNUSED = "unused"  # pictures that are checked but not written
_GROUPS = (*SPLITS, UNUSED)


@dataclass(frozen=True)
class Job:
    """What every worker has to know."""

    params: PreprocessParams
    seed: int
    dataset_info: DatasetInfo
    categories: tuple[str, ...]
    supercategories: tuple[str, ...]
    shards: dict[str, int]  # by group
    files: tuple[
        tuple[str, str], ...
    ]  # (the data set's own split, name) of each file of data/raw, in order
    raw_dir: Path  # as errors name it
    raw: Path  # absolute
    out: Path  # absolute
    work: Path  # a folder of this run alone in `out`: a worker left over by a killed run can't disturb the next

    def file(self, number: int) -> Path:
        return self.raw / self.dataset_info.directory / self.files[number][1]


@dataclass(frozen=True)
class Records:
    """Where some records of a file are, in order, with their checksums."""

    positions: NDArray[np.int64]
    checksums: NDArray[np.uint32]


@dataclass(frozen=True)
class Failure:
    """A mistake in the data at a place in the data set's order."""

    file: int
    record: int
    sentence: str


@dataclass(frozen=True)
class Written:
    """A finished shard."""

    split: str
    shard: Shard
    tally: Tally


def scan(number: int, job: Job) -> dict[str, Records] | Failure:
    """Compare a file of data/raw with its sha256, and draw the split of each of its records; they come by group."""
    tfds_split, name = job.files[number]
    found: dict[str, list[tuple[int, int]]] = {group: [] for group in _GROUPS}
    try:
        with _explained():
            verify_file(job.dataset_info, name, job.raw, job.raw_dir)
            for position, record in read_all(job.file(number)):
                raw = parse(record)
                split = split_of(
                    tfds_split, raw.file_name, job.categories[raw.label], job.params, job.seed
                )
                found[split or UNUSED].append((position, checksum(record)))
    except PetsegError as error:
        return Failure(sorted({*job.dataset_info.files, name}).index(name), 0, str(error))
    return {
        group: Records(
            np.array([p for p, _ in pairs], np.int64), np.array([c for _, c in pairs], np.uint32)
        )
        for group, pairs in found.items()
    }


def write_shard(
    group: str, shard: int, parts: Sequence[tuple[int, Records]], job: Job
) -> Written | Failure | None:
    """Read, prepare, check and write the pictures of a shard, one by one; `parts` are its records by file, in order.

    None for pictures that are only checked.
    """
    path = job.out / shard_name(group, shard, job.shards[group])
    partial = job.work / f"{path.name}.{uuid.uuid4().hex}"  # a runner may do the same work twice
    tally = Tally()
    place = 0, 0
    try:
        with (
            _explained(),
            nullcontext() if group == UNUSED else tf.io.TFRecordWriter(str(partial)) as writer,
        ):
            for file, records in parts:
                with open_raw(job.file(file)) as opened:
                    for position, expected in zip(
                        records.positions.tolist(), records.checksums.tolist(), strict=True
                    ):
                        place = file, position
                        photo, prepared = _prepare(parse(read_at(opened, position, expected)), job)
                        if writer is not None:
                            index = shard + tally.examples * job.shards[group]
                            example = transform.make_example(index, group, photo, prepared)
                            writer.write(serialize(example))
                            tally.add(example)
        if writer is None:
            return None
        with _explained():
            written = Written(group, Shard(path.name, tally.examples, sha256_of(partial)), tally)
            partial.replace(path)
    except PetsegError as error:
        return Failure(*place, str(error))
    return written


def _prepare(raw: RawPicture, job: Job) -> tuple[transform.Photo, dict[str, Any]]:
    """A picture prepared and checked. Raises PetsegError."""
    work = _compiled(
        job.params.image_size, job.dataset_info.first_label, len(job.dataset_info.class_names)
    )
    try:
        result = work(tf.constant(raw.image), tf.constant(raw.mask))
    except tf.errors.InvalidArgumentError as error:
        raise transform.undecodable(raw.file_name) from error
    prepared = {key: value.numpy() for key, value in result.items()}
    photo = transform.Photo(
        raw.file_name, job.categories[raw.label], job.supercategories[raw.supercategory], raw.mask
    )
    transform.check(photo, prepared, job.dataset_info)
    return photo, prepared


@functools.cache
def _compiled(size: int, first_label: int, classes: int) -> Any:
    text = tf.TensorSpec((), tf.string)

    @tf.function(input_signature=[text, text], autograph=False)
    def prepare(image: tf.Tensor, mask: tf.Tensor) -> dict[str, tf.Tensor]:
        with tf.device("/CPU:0"):  # where tf.data works, whatever devices there are
            return transform.prepare(image, mask, size, first_label, classes)

    return (
        prepare.get_concrete_function()
    )  # spares the look-up at each call, a tenth of a picture's time


@contextmanager
def _explained() -> Iterator[None]:
    """What the machine can do to any command becomes a PetsegError; every other error is the engine's to report."""
    try:
        yield
    except PetsegError:
        raise
    except Exception as error:
        sentence = explain(error)
        if sentence is None:
            raise
        raise PetsegError(sentence) from error
