"""The tasks of a distributed preprocessing job: index one file of data/raw, write one shard.

Nothing here depends on Apache Beam. Tasks exchange the positions of images in data/raw, never
pixels, so little data passes between workers. A task returns an error in the data as a `Failure`:
Beam would wrap an exception, and would raise a random one of several.
"""

import functools
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from petseg.core.errors import PetsegError, explain, translate
from petseg.core.geometry import ImageSize, Resize
from petseg.core.hashing import sha256_of
from petseg.preprocessing.beam.job import CHECK_ONLY, GROUPS, JobConfig
from petseg.preprocessing.beam.raw_records import (
    RawExample,
    open_raw_file,
    parse_raw_example,
    read_record_at,
    read_records,
    record_checksum,
)
from petseg.preprocessing.splits import split_of
from petseg.preprocessing.transform import (
    ImageMetadata,
    check_mask,
    decode_and_resize,
    decode_error,
    make_example,
)
from petseg.preprocessing.writer import SplitStats, shard_name
from petseg.raw import verify_file
from petseg.shards.example import serialize
from petseg.shards.manifest import Shard


@dataclass(frozen=True)
class RecordIndex:
    """The positions of some of a file's records, in order, with their checksums."""

    offsets: NDArray[np.int64]
    checksums: NDArray[np.uint32]

    def __len__(self) -> int:
        return len(self.offsets)

    def __getitem__(self, part: slice) -> "RecordIndex":
        return RecordIndex(self.offsets[part], self.checksums[part])


@dataclass(frozen=True)
class Failure:
    """An error in the data, with its position in the data set."""

    file: int
    offset: int
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
    records: dict[str, list[tuple[int, int]]] = {group: [] for group in GROUPS}
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
                records[split or CHECK_ONLY].append((offset, record_checksum(record)))
    except PetsegError as error:
        return Failure(sorted({*job.dataset_info.files, name}).index(name), 0, str(error))
    return {
        group: RecordIndex(
            np.array([offset for offset, _ in pairs], np.int64),
            np.array([checksum for _, checksum in pairs], np.uint32),
        )
        for group, pairs in records.items()
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
                        for offset, checksum in zip(
                            records.offsets.tolist(), records.checksums.tolist(), strict=True
                        ):
                            record = read_record_at(raw_file, offset, checksum)
                            metadata, decoded = _decode(parse_raw_example(record), job)
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


def _decode(raw: RawExample, job: JobConfig) -> tuple[ImageMetadata, dict[str, Any]]:
    """Decode, resize and check an image. Raises PetsegError."""
    dataset_info = job.dataset_info
    decode = _compile_decode(
        job.params.image_size,
        job.params.resize,
        dataset_info.first_label,
        len(dataset_info.class_names),
    )
    try:
        tensors = decode(tf.constant(raw.image), tf.constant(raw.mask))
    except tf.errors.InvalidArgumentError as error:
        raise decode_error(raw.file_name) from error
    decoded = {key: value.numpy() for key, value in tensors.items()}
    metadata = ImageMetadata(
        file_name=raw.file_name,
        category=job.categories[raw.label],
        supercategory=job.supercategories[raw.supercategory],
        encoded_mask=raw.mask,
    )
    check_mask(metadata, decoded, dataset_info)
    return metadata, decoded


@functools.cache
def _compile_decode(size: ImageSize, resize: Resize, first_label: int, num_classes: int) -> Any:
    text = tf.TensorSpec((), tf.string)

    @tf.function(input_signature=[text, text], autograph=False)
    def decode(image: tf.Tensor, mask: tf.Tensor) -> dict[str, tf.Tensor]:
        with tf.device("/CPU:0"):  # where tf.data runs too, so that the bytes are the same
            return decode_and_resize(image, mask, size, resize, first_label, num_classes)

    return decode.get_concrete_function()  # saves a tenth of the time per image
