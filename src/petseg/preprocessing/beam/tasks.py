"""The tasks of a distributed preprocessing job: index one file of data/raw, write one shard.

Nothing here depends on Apache Beam. Tasks exchange the positions of images in data/raw, never
pixels, so little data passes between workers. A task returns an error in the data as a `Failure`:
Beam would wrap an exception, and would raise a random one of several.
"""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from petseg.core.errors import PetsegError, explain, translate
from petseg.core.hashing import sha256_of
from petseg.preprocessing.beam.job import CHECK_ONLY, GROUPS, JobConfig
from petseg.preprocessing.beam.read_examples import ExampleReader
from petseg.preprocessing.raw_records import (
    open_raw_file,
    parse_raw_example,
    read_records,
    record_checksum,
)
from petseg.preprocessing.splits import split_of
from petseg.preprocessing.tiling import count_tiles
from petseg.preprocessing.transform import make_example
from petseg.preprocessing.writer import SplitStats, shard_name
from petseg.raw import verify_file
from petseg.shards.example import serialize
from petseg.shards.manifest import Shard


@dataclass(frozen=True)
class RecordIndex:
    """The examples in some of a file's records, in order: where each is in the file.

    A record is one example, or has several tiles.
    """

    offsets: NDArray[np.int64]
    checksums: NDArray[np.uint32]
    tiles: NDArray[np.int32]  # the number of the tile in its image; 0 without tiles

    def __len__(self) -> int:
        return len(self.offsets)

    def __getitem__(self, part: slice) -> "RecordIndex":
        return RecordIndex(self.offsets[part], self.checksums[part], self.tiles[part])


@dataclass(frozen=True)
class Failure:
    """An error in the data, with its position in the data set."""

    file: int  # its index in JobConfig.files, or among all files by name if it is damaged
    offset: int  # of the record in the file
    message: str


@dataclass(frozen=True)
class ShardResult:
    """A finished shard."""

    split: str
    shard: Shard
    stats: SplitStats


def index_file(file: int, job: JobConfig) -> dict[str, RecordIndex] | Failure:
    """Verify a file of data/raw, assign its records to splits, and return them by group."""
    raw_split, name = job.files[file]
    records: dict[str, list[tuple[int, int, int]]] = {group: [] for group in GROUPS}
    try:
        with translate(explain):
            verify_file(job.dataset_info, name, job.raw_dir, job.shown_raw_dir)
            for offset, record in read_records(job.file_path(file)):
                raw = parse_raw_example(record)
                category = job.categories[raw.label]
                split = split_of(
                    raw_split,
                    raw.file_name,
                    category,
                    job.params,
                    job.seed,
                    has_val=job.has_val,
                    group=job.dataset_info.group,
                )
                checksum, tiles = record_checksum(record), job.params.tiles
                num_tiles = count_tiles(raw.image, tiles) if tiles and split else 1
                records[split or CHECK_ONLY] += [
                    (offset, checksum, tile) for tile in range(num_tiles)
                ]
    except PetsegError as error:
        return Failure(sorted({*job.dataset_info.files, name}).index(name), 0, str(error))
    return {
        group: RecordIndex(
            np.array([offset for offset, _, _ in found], np.int64),
            np.array([checksum for _, checksum, _ in found], np.uint32),
            np.array([tile for _, _, tile in found], np.int32),
        )
        for group, found in records.items()
    }


def assign_to_shards(
    file: int,
    indexed: Mapping[str, RecordIndex],
    counts: Mapping[int, Mapping[str, int]],
    job: JobConfig,
) -> Iterator[tuple[tuple[str, int], RecordIndex]]:
    """Yield ((group, shard), records) for one file: example i of a split goes to shard i modulo N.

    `counts` is the number of records by file and group.
    """
    for group, records in indexed.items():
        num_shards = job.num_shards[group]
        num_before = sum(counts[earlier][group] for earlier in range(file))
        for shard in range(num_shards):
            part = records[(shard - num_before) % num_shards :: num_shards]
            if len(part) or file == 0:  # so that a shard without examples is written too
                yield (group, shard), part


def write_shard(
    group: str, shard: int, parts: Sequence[tuple[int, RecordIndex]], job: JobConfig
) -> ShardResult | Failure | None:
    """Decode, check and write the images of a shard, one at a time.

    `parts` has the shard's records by file, in order. Returns None if images are only checked.
    """
    path = job.out_dir / shard_name(group, shard, job.num_shards[group])
    partial = job.work_dir / f"{path.name}.{uuid.uuid4().hex}"  # Beam may run a task twice
    stats = SplitStats()
    file, offset = 0, 0
    try:
        with translate(explain):
            with _open_writer(group, partial) as writer:
                for file, records in parts:
                    with open_raw_file(job.file_path(file)) as raw_file:
                        images = ExampleReader(raw_file, job)
                        for offset, checksum, tile in zip(
                            records.offsets.tolist(),
                            records.checksums.tolist(),
                            records.tiles.tolist(),
                            strict=True,
                        ):
                            metadata, decoded = images.read(offset, checksum, tile)
                            if writer is not None:
                                index = shard + stats.num_examples * job.num_shards[group]
                                example = make_example(index, group, metadata, decoded)
                                writer.write(serialize(example))
                                stats.add(example)
            if writer is None:
                return None
            sha256 = sha256_of(partial)
            partial.replace(path)
    except PetsegError as error:
        return Failure(file, offset, str(error))
    return ShardResult(group, Shard(path.name, stats.num_examples, sha256), stats)


def _open_writer(
    group: str, path: Path
) -> AbstractContextManager[tf.io.TFRecordWriter] | AbstractContextManager[None]:
    return nullcontext() if group == CHECK_ONLY else tf.io.TFRecordWriter(str(path))
