"""Preprocessing on Apache Beam: any number of processes or machines, the same bytes as from one process.

What goes from worker to worker is small: where in data/raw the pictures of a shard lie, never a pixel. One pass over
the files of data/raw finds the records, draws their splits and counts them; so the index of every example is known, and
with it its shard. Then each shard is written by one task, picture by picture, so its size needs no memory.

A mistake in the data travels to the end as a `Failure`, where the first in the data set's order is raised: an exception
would come back wrapped by Beam, and which one of several would be chance.
"""

import functools
import json
import os
import shutil
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from numpy.typing import NDArray

from petseg.datasets.source import Source, check_digest
from petseg.errors import PetsegError, explain
from petseg.files import write_whole
from petseg.hashing import sha256_of
from petseg.params import PreprocessParams
from petseg.records import pictures
from petseg.records.beam_options import open_pipeline
from petseg.records.example import serialize
from petseg.records.manifest import SPLITS, Shard, Split
from petseg.records.raw import RawPicture, checksum, open_raw, parse, read_all, read_at
from petseg.records.shards import Tally, shard_counts, shard_name, split_entry
from petseg.records.splits import split_of

_RESULTS = "results.json"
_UNUSED = "unused"  # pictures that are checked but not written
_GROUPS = (*SPLITS, _UNUSED)


@dataclass(frozen=True)
class Job:
    """What every worker has to know."""

    params: PreprocessParams
    seed: int
    source: Source
    breeds: tuple[str, ...]
    species: tuple[str, ...]
    shards: dict[str, int]  # by group
    files: tuple[tuple[str, str], ...]  # (the data set's own split, name) of each file of data/raw, in order
    raw_dir: Path  # as errors name it
    raw: Path  # absolute
    out: Path  # absolute
    work: Path  # a folder of this run alone in `out`: a worker left over by a killed run can't disturb the next
    driver: int  # the process that runs the pipeline

    def file(self, number: int) -> Path:
        return self.raw / self.source.directory / self.files[number][1]


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


_Scanned = tuple[int, dict[str, Records] | Failure]  # the number of a file, and its records by group
_Key = tuple[str, int]  # group and shard


def write_shards(params: PreprocessParams, seed: int, raw_dir: Path, source: Source, folder: Path) -> dict[str, Split]:
    """The shards of all splits, and their entries for the manifest. Raises PetsegError."""
    for name in source.files:
        if ".tfrecord" not in name:  # those are left to the workers
            check_digest(raw_dir, source, name, _sha256(raw_dir / source.directory / name))
    info = tfds.builder_from_directory(raw_dir / source.directory).info
    shards = shard_counts(params, *(info.splits[split].num_examples for split in ("train", "test")))
    job = Job(
        params=params,
        seed=seed,
        source=source,
        breeds=tuple(info.features["label"].names),
        species=tuple(name.lower() for name in info.features["species"].names),
        shards={**shards, _UNUSED: shards["train"]},
        files=tuple((split, name) for split in ("train", "test") for name in sorted(info.splits[split].filenames)),
        raw_dir=raw_dir,
        raw=raw_dir.absolute(),
        out=folder.absolute(),
        work=folder.absolute() / f"work-{uuid.uuid4().hex}",
        driver=os.getpid(),
    )
    job.work.mkdir()
    with open_pipeline(params.beam_options) as pipeline:
        _build(pipeline, job)
    results = _read_results(job)
    if results["failures"]:
        raise PetsegError(min(results["failures"])[-1])
    shutil.rmtree(job.work)
    return _entries(results["shards"], source.class_names)


def _build(pipeline: beam.Pipeline, job: Job) -> None:
    """Add the steps to a pipeline that leave the shards and the results in the folder."""
    scanned = (
        pipeline
        | "files" >> beam.Create(range(len(job.files)))
        | "share out files" >> beam.Reshuffle()
        | "scan" >> beam.Map(_scan, job)
    )
    counts = scanned | "count" >> beam.Map(_count)
    written = (
        scanned
        | "deal out" >> beam.FlatMap(_deal, job, beam.pvalue.AsDict(counts))
        | "gather" >> beam.GroupByKey()
        | "write" >> beam.ParDo(_WriteShard(job))
    )
    failed = scanned | "failures" >> beam.FlatMap(_failures)
    _ = (
        (written, failed)
        | "all results" >> beam.Flatten()
        | "under one key" >> beam.WithKeys(0)
        | "together" >> beam.GroupByKey()
        | "keep results" >> beam.Map(_keep_results, job)
    )


def _scan(file: int, job: Job) -> _Scanned:
    """Compare a file of data/raw with its sha256, and draw the split of each of its records."""
    tfds_split, name = job.files[file]
    found: dict[str, list[tuple[int, int]]] = {group: [] for group in _GROUPS}
    try:
        with _explained():
            check_digest(job.raw_dir, job.source, name, _sha256(job.file(file)))
            for position, record in read_all(job.file(file)):
                raw = parse(record)
                split = split_of(tfds_split, raw.file_name, job.breeds[raw.label], job.params, job.seed)
                found[split or _UNUSED].append((position, checksum(record)))
    except PetsegError as error:
        return file, Failure(sorted({*job.source.files, name}).index(name), 0, str(error))
    return file, {
        group: Records(np.array([p for p, _ in pairs], np.int64), np.array([c for _, c in pairs], np.uint32))
        for group, pairs in found.items()
    }


def _count(scanned: _Scanned) -> tuple[int, dict[str, int] | None]:
    file, found = scanned
    return file, None if isinstance(found, Failure) else {name: len(part.positions) for name, part in found.items()}


def _failures(scanned: _Scanned) -> list[Failure]:
    return [scanned[1]] if isinstance(scanned[1], Failure) else []


def _deal(
    scanned: _Scanned, job: Job, counts: dict[int, dict[str, int] | None]
) -> Iterator[tuple[_Key, tuple[int, Records]]]:
    """A file's records by group and shard: example i of a split goes to shard i modulo their number.

    `counts` holds how many records of each group each file has, or None: then nothing is to be written.
    """
    file, found = scanned
    if isinstance(found, Failure) or None in counts.values():
        return
    for group, records in found.items():
        shards = job.shards[group]
        before = sum((counts[earlier] or {})[group] for earlier in range(file))
        for shard in range(shards):
            own = slice((shard - before) % shards, None, shards)
            part = Records(records.positions[own], records.checksums[own])
            if len(part.positions) or file == 0:  # so that a shard without examples is written too
                yield (group, shard), (file, part)


class _WriteShard(beam.DoFn):
    def __init__(self, job: Job) -> None:
        self._job = job

    def setup(self) -> None:
        if os.getpid() != self._job.driver:
            with suppress(RuntimeError):  # TensorFlow has begun to work here, so it has been told before
                tf.config.set_visible_devices([], "GPU")
                tf.config.threading.set_intra_op_parallelism_threads(1)  # there are as many workers as cores
                tf.config.threading.set_inter_op_parallelism_threads(1)

    def process(self, element: tuple[_Key, Iterable[tuple[int, Records]]]) -> Iterator[Written | Failure]:
        (group, shard), parts = element
        result = _write_shard(group, shard, sorted(parts, key=lambda part: part[0]), self._job)
        if result is not None:
            yield result


def _write_shard(group: str, shard: int, parts: list[tuple[int, Records]], job: Job) -> Written | Failure | None:
    """Read, prepare, check and write the pictures of a shard, one by one. None for pictures that are only checked."""
    path = job.out / shard_name(group, shard, job.shards[group])
    partial = job.work / f"{path.name}.{uuid.uuid4().hex}"  # a runner may do the same work twice
    tally = Tally()
    place = 0, 0
    try:
        with _explained(), nullcontext() if group == _UNUSED else tf.io.TFRecordWriter(str(partial)) as writer:
            for file, records in parts:
                with open_raw(job.file(file)) as opened:
                    for position, expected in zip(records.positions.tolist(), records.checksums.tolist(), strict=True):
                        place = file, position
                        photo, prepared = _prepare(parse(read_at(opened, position, expected)), job)
                        if writer is not None:
                            index = shard + tally.examples * job.shards[group]
                            example = pictures.make_example(index, group, photo, prepared)
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


def _prepare(raw: RawPicture, job: Job) -> tuple[pictures.Photo, dict[str, Any]]:
    """A picture prepared and checked. Raises PetsegError."""
    work = _compiled(job.params.image_size, job.source.first_label, len(job.source.class_names))
    try:
        result = work(tf.constant(raw.image), tf.constant(raw.mask))
    except tf.errors.InvalidArgumentError as error:
        raise pictures.undecodable(raw.file_name) from error
    prepared = {key: value.numpy() for key, value in result.items()}
    pictures.check(raw.file_name, prepared, job.source)
    return pictures.Photo(raw.file_name, job.breeds[raw.label], job.species[raw.species], raw.mask), prepared


@functools.cache
def _compiled(size: int, first_label: int, classes: int) -> Any:
    text = tf.TensorSpec((), tf.string)

    @tf.function(input_signature=[text, text], autograph=False)
    def prepare(image: tf.Tensor, mask: tf.Tensor) -> dict[str, tf.Tensor]:
        with tf.device("/CPU:0"):  # where tf.data works, whatever devices there are
            return pictures.prepare(image, mask, size, first_label, classes)

    return prepare.get_concrete_function()  # spares the look-up at each call, a tenth of a picture's time


def _keep_results(element: tuple[int, Iterable[Written | Failure]], job: Job) -> None:
    results: dict[str, list[Any]] = {"shards": [], "failures": []}
    for result in element[1]:
        if isinstance(result, Failure):
            results["failures"].append(astuple(result))
        else:
            tally = result.tally
            results["shards"].append(
                [result.split, astuple(result.shard), tally.examples, tally.pixels.tolist(), tally.breeds]
            )
    write_whole(job.work / _RESULTS, json.dumps(results))


def _read_results(job: Job) -> dict[str, list[Any]]:
    path = job.work / _RESULTS
    if not path.is_file():
        raise PetsegError(
            f"Apache Beam ended without a result; all of its workers must see {job.out.parent} under this path, "
            "and be able to write there."
        )
    return dict(json.loads(path.read_text(encoding="utf-8")))


def _entries(shards: list[Any], class_names: tuple[str, ...]) -> dict[str, Split]:
    tallies = {split: Tally() for split in SPLITS}
    files: dict[str, list[Shard]] = {split: [] for split in SPLITS}
    for split, shard, examples, pixels, breeds in shards:
        files[split].append(Shard(*shard))
        tallies[split] += Tally(examples, np.array(pixels, np.int64), Counter(breeds))
    return {
        split: split_entry(tallies[split], sorted(files[split], key=lambda shard: shard.file), class_names)
        for split in SPLITS
    }


def _sha256(path: Path) -> str | None:
    return sha256_of(path) if path.is_file() else None


@contextmanager
def _explained() -> Iterator[None]:
    """What the machine can do to any command becomes a PetsegError; every other error is Beam's to report."""
    try:
        yield
    except PetsegError:
        raise
    except Exception as error:
        sentence = explain(error)
        if sentence is None:
            raise
        raise PetsegError(sentence) from error
