"""Preprocessing on Apache Beam: any number of processes or machines, the same bytes as from one process.

One pass over the files of data/raw finds the records, draws their splits and counts them; so the index of every example
is known, and with it its shard. Then each shard is written by one task, picture by picture, so its size needs no
memory. A mistake in the data travels to the end, where the first in the data set's order is raised.
"""

import json
import os
import shutil
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import astuple
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from petseg.config.params import PreprocessParams
from petseg.core.atomic_io import atomic_write
from petseg.core.errors import PetsegError
from petseg.preprocessing.beam.options import open_pipeline
from petseg.preprocessing.beam.tasks import (
    UNUSED,
    Failure,
    Job,
    Records,
    Written,
    scan,
    write_shard,
)
from petseg.preprocessing.writer import Tally, shard_counts, split_entry
from petseg.raw import DatasetInfo, verify_file
from petseg.shards.manifest import SPLITS, Shard, Split

_RESULTS = "results.json"

_Scanned = tuple[
    int, dict[str, Records] | Failure
]  # the number of a file, and its records by group
_Key = tuple[str, int]  # group and shard


def write_shards(
    params: PreprocessParams, seed: int, raw_dir: Path, dataset_info: DatasetInfo, folder: Path
) -> dict[str, Split]:
    """The shards of all splits, and their entries for the manifest. Raises PetsegError."""
    for name in dataset_info.files:
        if ".tfrecord" not in name:  # those are left to the workers
            verify_file(dataset_info, name, raw_dir)
    info = tfds.builder_from_directory(raw_dir / dataset_info.directory).info
    shards = shard_counts(params, *(info.splits[split].num_examples for split in ("train", "test")))
    job = Job(
        params=params,
        seed=seed,
        dataset_info=dataset_info,
        categories=tuple(info.features["label"].names),
        supercategories=tuple(name.lower() for name in info.features["species"].names),
        shards={**shards, UNUSED: shards["train"]},
        files=tuple(
            (split, name)
            for split in ("train", "test")
            for name in sorted(info.splits[split].filenames)
        ),
        raw_dir=raw_dir,
        raw=raw_dir.absolute(),
        out=folder.absolute(),
        work=folder.absolute() / f"work-{uuid.uuid4().hex}",
    )
    job.work.mkdir()
    with open_pipeline(params.beam_options) as pipeline:
        _build(pipeline, job)
    results = _read_results(job)
    if results["failures"]:
        raise PetsegError(min(results["failures"])[-1])
    shutil.rmtree(job.work)
    return _entries(results["shards"], dataset_info.class_names)


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
    return file, scan(file, job)


def _count(scanned: _Scanned) -> tuple[int, dict[str, int] | None]:
    file, found = scanned
    return file, None if isinstance(found, Failure) else {
        name: len(part.positions) for name, part in found.items()
    }


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
        self._job, self._driver = job, os.getpid()

    def setup(self) -> None:
        if os.getpid() != self._driver:
            with suppress(
                RuntimeError
            ):  # TensorFlow has begun to work here, so it has been told before
                tf.config.set_visible_devices([], "GPU")
                tf.config.threading.set_intra_op_parallelism_threads(
                    1
                )  # there are as many workers as cores
                tf.config.threading.set_inter_op_parallelism_threads(1)

    def process(
        self, element: tuple[_Key, Iterable[tuple[int, Records]]]
    ) -> Iterator[Written | Failure]:
        (group, shard), parts = element
        result = write_shard(group, shard, sorted(parts, key=lambda part: part[0]), self._job)
        if result is not None:
            yield result


def _keep_results(element: tuple[int, Iterable[Written | Failure]], job: Job) -> None:
    results: dict[str, list[Any]] = {"shards": [], "failures": []}
    for result in element[1]:
        if isinstance(result, Failure):
            results["failures"].append(astuple(result))
        else:
            tally = result.tally
            results["shards"].append(
                [
                    result.split,
                    astuple(result.shard),
                    tally.examples,
                    tally.pixels.tolist(),
                    tally.categories,
                ]
            )
    atomic_write(job.work / _RESULTS, json.dumps(results))


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
    for split, shard, examples, pixels, categories in shards:
        files[split].append(Shard(*shard))
        tallies[split] += Tally(examples, np.array(pixels, np.int64), Counter(categories))
    return {
        split: split_entry(
            tallies[split], sorted(files[split], key=lambda shard: shard.file), class_names
        )
        for split in SPLITS
    }
