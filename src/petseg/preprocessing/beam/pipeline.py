"""Preprocessing on Apache Beam: any number of processes or machines writes the same bytes.

A first pass over the files of data/raw finds the records, assigns them to splits and counts them.
That determines the index of every example, and so its shard. Then each shard is written by one
task, image by image, so memory doesn't depend on its size. Failures are collected, and the first in
the data set's order is raised at the end.
"""

import json
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, astuple
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow as tf

from petseg.config.data_params import PreprocessParams
from petseg.core.atomic_io import atomic_write
from petseg.core.errors import PetsegError
from petseg.preprocessing.beam.job import JobConfig, plan_job
from petseg.preprocessing.beam.options import run_pipeline
from petseg.preprocessing.beam.tasks import (
    Failure,
    RecordIndex,
    ShardResult,
    assign_to_shards,
    index_file,
    write_shard,
)
from petseg.preprocessing.writer import FittingStats, SplitStats
from petseg.raw import DatasetInfo
from petseg.shards.manifest import SPLITS, Shard, Split

_RESULTS_FILE = "results.json"

_IndexedFile = tuple[int, dict[str, RecordIndex] | Failure]  # file number, records by group
_ShardKey = tuple[str, int]  # group, shard number


def write_shards(
    params: PreprocessParams, seed: int, raw_dir: Path, dataset_info: DatasetInfo, folder: Path
) -> tuple[dict[str, Split], FittingStats]:
    """Write the shards of all splits.

    Return their entries for the manifest, and how images were fitted. Raises PetsegError.
    """
    job = plan_job(params, seed, raw_dir, dataset_info, folder)
    job.work_dir.mkdir()
    run_pipeline(params.beam_options, lambda pipeline: _build(pipeline, job))
    results = _read_results(job)
    if results["failures"]:
        raise PetsegError(min(results["failures"])[-1])
    shutil.rmtree(job.work_dir)
    return _manifest_entries(results["shards"], dataset_info.class_names)


def _build(pipeline: beam.Pipeline, job: JobConfig) -> None:
    """Add the steps that write the shards and the results."""
    indexed = (
        pipeline
        | "files" >> beam.Create(range(len(job.files)))
        | "distribute files" >> beam.Reshuffle()
        | "index files" >> beam.Map(_index, job)
    )
    counts = indexed | "count records" >> beam.Map(_count_records)
    written = (
        indexed
        | "assign to shards" >> beam.FlatMap(_assign, job, beam.pvalue.AsDict(counts))
        | "group by shard" >> beam.GroupByKey()
        | "write shards" >> beam.ParDo(_WriteShardFn(job))
    )
    failed = indexed | "failures" >> beam.FlatMap(_failures)
    _ = (
        (written, failed)
        | "merge results" >> beam.Flatten()
        | "use one key" >> beam.WithKeys(0)
        | "gather results" >> beam.GroupByKey()
        | "save results" >> beam.Map(_save_results, job)
    )


def _index(file: int, job: JobConfig) -> _IndexedFile:
    return file, index_file(file, job)


def _count_records(indexed_file: _IndexedFile) -> tuple[int, dict[str, int] | None]:
    """The number of a file's records by group; None if the file is damaged."""
    file, indexed = indexed_file
    if isinstance(indexed, Failure):
        return file, None
    return file, {group: len(records) for group, records in indexed.items()}


def _failures(indexed_file: _IndexedFile) -> list[Failure]:
    _, indexed = indexed_file
    return [indexed] if isinstance(indexed, Failure) else []


def _assign(
    indexed_file: _IndexedFile, job: JobConfig, counts: dict[int, dict[str, int] | None]
) -> Iterator[tuple[_ShardKey, tuple[int, RecordIndex]]]:
    """Yield (shard, (file, records)); nothing if any file is damaged, since that ends the job."""
    file, indexed = indexed_file
    known = {number: count for number, count in counts.items() if count is not None}
    if isinstance(indexed, Failure) or len(known) < len(counts):
        return
    for key, records in assign_to_shards(file, indexed, known, job):
        yield key, (file, records)


class _WriteShardFn(beam.DoFn):
    def __init__(self, job: JobConfig) -> None:
        self._job, self._main_process = job, os.getpid()

    def setup(self) -> None:
        if os.getpid() == self._main_process:
            return
        with suppress(RuntimeError):  # TensorFlow has started: this worker was set up before
            tf.config.set_visible_devices([], "GPU")
            tf.config.threading.set_intra_op_parallelism_threads(1)  # one worker per core
            tf.config.threading.set_inter_op_parallelism_threads(1)

    def process(
        self, element: tuple[_ShardKey, Iterable[tuple[int, RecordIndex]]]
    ) -> Iterator[ShardResult | Failure]:
        (group, shard), parts = element
        result = write_shard(group, shard, sorted(parts, key=lambda part: part[0]), self._job)
        if result is not None:
            yield result


def _save_results(element: tuple[int, Iterable[ShardResult | Failure]], job: JobConfig) -> None:
    results: dict[str, list[Any]] = {"shards": [], "failures": []}
    for result in element[1]:
        if isinstance(result, Failure):
            results["failures"].append(astuple(result))
            continue
        stats = result.stats
        counts = [stats.num_examples, stats.pixels.tolist(), stats.categories]
        row = [result.split, astuple(result.shard), *counts, asdict(stats.fitting)]
        results["shards"].append(row)
    atomic_write(job.work_dir / _RESULTS_FILE, json.dumps(results))


def _read_results(job: JobConfig) -> dict[str, list[Any]]:
    path = job.work_dir / _RESULTS_FILE
    if not path.is_file():
        raise PetsegError(
            f"Apache Beam ended without a result; all its workers need {job.out_dir.parent} at the "
            "same path, with permission to write there."
        )
    return dict(json.loads(path.read_text(encoding="utf-8")))


def _manifest_entries(
    results: list[Any], class_names: tuple[str, ...]
) -> tuple[dict[str, Split], FittingStats]:
    stats = {split: SplitStats() for split in SPLITS}
    shards: dict[str, list[Shard]] = {split: [] for split in SPLITS}
    for split, shard, num_examples, pixels, categories, fitting in results:
        shards[split].append(Shard(*shard))
        counts = Counter(categories), FittingStats(**fitting)
        stats[split] += SplitStats(num_examples, np.array(pixels, np.int64), *counts)
    entries = {
        split: stats[split].manifest_entry(
            sorted(shards[split], key=lambda shard: shard.file), class_names
        )
        for split in SPLITS
    }
    return entries, sum((of_split.fitting for of_split in stats.values()), FittingStats())
