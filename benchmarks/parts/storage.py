"""An epoch's batches from shards on the disk, and from shards in a bucket wherever `train.cache` keeps them.

The bucket is one of an S3 server on this machine, which takes its part of the cores: a network it is not.
"""

import itertools
import tempfile
import time
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
from petseg.shards.manifest import open_shards, read_manifest
from petseg.training.input_pipeline import training_batches
from support.s3_server import BUCKET, s3_server


def epochs(records: Path, params: Params, cache: Cache) -> Ready:
    start = time.perf_counter()
    shards = open_shards(records, read_manifest(records), "train", cache=cache)
    seconds = time.perf_counter() - start
    numbers = itertools.count(1)

    def epoch() -> float:
        train = params.train
        batches = training_batches(
            shards, train.batch_size, train.shuffle_buffer, train.augment, 0, next(numbers)
        )
        start = time.perf_counter()
        for _ in read_batches(batches):
            pass
        return shards.num_examples / (time.perf_counter() - start)

    return Ready(epoch, {"s to get ready": round(seconds, 1), "shards": len(shards.paths)})


def run(options: Options) -> Outcome:
    size = options.sizes[0]
    params = drawn_params("default", options.pictures, size)
    local = prepare(params, options.scratch)
    with (
        s3_server() as found,
        tempfile.TemporaryDirectory() as folder,
        environment_variables({**found, "DVC_ROOT": folder}),  # which has .cache
    ):
        records = Path(folder) / "tfrecords"
        settings = params.preprocess.model_copy(update={"storage": f"s3://{BUCKET}/shards"})
        preprocess(settings, params.seed, local.raw, records)
        rows = take_turns(
            [
                Contender(
                    name,
                    epochs,
                    {"records": shards, "params": params, "cache": cache},
                )
                for name, shards, cache in (
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
