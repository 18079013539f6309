"""An epoch's batches from shards on the disk, and from shards in a bucket wherever `train.cache` keeps them.

The bucket is one of an S3 server on this machine, which takes its part of the cores: a network it is not.
"""

import itertools
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from benchmarks.contenders import Contender, Ready, take_turns
from benchmarks.findings import Outcome, Table
from benchmarks.options import Options
from benchmarks.workspace import drawn_params, prepare
from petseg.batches import read_batches
from petseg.config.params import Params
from petseg.config.types import Cache
from petseg.core.process import environment_variables
from petseg.preprocessing.preprocess import preprocess
from petseg.shards.manifest import checked_shards, read_manifest
from petseg.shards.storage import hold
from petseg.training.input_pipeline import training_batches
from support.s3_server import BUCKET, s3_server


def epochs(records: Path, params: Params, where: Cache, kept: Path) -> Ready:
    shards = checked_shards(records, read_manifest(records), "train")
    start = time.perf_counter()
    held = replace(shards, paths=hold(shards.paths, where, kept))
    seconds = time.perf_counter() - start
    numbers = itertools.count(1)

    def epoch() -> float:
        train = params.train
        batches = training_batches(
            held, train.batch_size, train.shuffle_buffer, train.augment, 0, next(numbers)
        )
        start = time.perf_counter()
        for _ in read_batches(batches):
            pass
        return held.examples / (time.perf_counter() - start)

    return Ready(epoch, {"s to get ready": round(seconds, 1), "shards": len(shards.paths)})


def run(options: Options) -> Outcome:
    size = options.sizes[0]
    params = drawn_params("default", options.pictures, size)
    local = prepare(params, options.scratch)
    with (
        s3_server() as found,
        environment_variables(found),
        tempfile.TemporaryDirectory() as folder,
    ):
        records = Path(folder) / "tfrecords"
        settings = params.preprocess.model_copy(update={"storage": f"s3://{BUCKET}/shards"})
        preprocess(settings, params.seed, local.raw, records)
        kept = Path(folder) / "kept"
        rows = take_turns(
            [
                Contender(
                    name,
                    epochs,
                    {"records": shards, "params": params, "where": where, "kept": kept},
                )
                for name, shards, where in (
                    ("on the disk", local.records, "none"),
                    ("in a bucket, `train.cache=none`", records, "none"),
                    ("in a bucket, `train.cache=disk`", records, "disk"),
                    ("in a bucket, `train.cache=memory`", records, "memory"),
                )
            ],
            "images/s",
            options.repetitions,
        )
    return Outcome(
        "storage",
        [Table(f"Shards of {options.pictures:,} pictures drawn at {size} px, augmented", rows)],
    )
