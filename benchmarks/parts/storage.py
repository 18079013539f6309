"""Batches of an epoch from shards on disk, and from shards in a bucket with each `train.cache`.

The bucket is on an S3 server on this machine, which uses its cores but no network.
"""

import itertools
import tempfile
import time
from pathlib import Path

from benchmarks.contenders import Contender, Prepared, take_turns
from benchmarks.options import Options
from benchmarks.results import Results, Table
from benchmarks.workspace import prepare_data, synthetic_params
from petseg.batches import read_batches
from petseg.config.params import Params
from petseg.config.types import Cache
from petseg.core.process import environment_variables
from petseg.preprocessing.preprocess import preprocess
from petseg.shards.manifest import open_shards, read_manifest
from petseg.training.input_pipeline import training_batches
from support.s3_server import BUCKET, s3_server


def epochs(shards_dir: Path, params: Params, cache: Cache) -> Prepared:
    start = time.perf_counter()
    shards = open_shards(shards_dir, read_manifest(shards_dir), "train", cache=cache)
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

    return Prepared(epoch, {"s to open": round(seconds, 1), "shards": len(shards.paths)})


def run(options: Options) -> Results:
    size = options.sizes[0]
    params = synthetic_params("mobilenet", options.num_images, size)
    local = prepare_data(params, options.scratch)
    with (
        s3_server() as server,
        tempfile.TemporaryDirectory() as folder,
        environment_variables({**server, "DVC_ROOT": folder}),  # whose .cache is used
    ):
        remote = Path(folder) / "tfrecords"
        settings = params.preprocess.model_copy(update={"storage": f"s3://{BUCKET}/shards"})
        preprocess(settings, params.seed, local.raw, remote)
        rows = take_turns(
            [
                Contender(
                    name,
                    epochs,
                    {"shards_dir": shards_dir, "params": params, "cache": cache},
                )
                for name, shards_dir, cache in (
                    ("on disk", local.shards_dir, "none"),
                    ("in a bucket, `train.cache=none`", remote, "none"),
                    ("in a bucket, `train.cache=disk`", remote, "disk"),
                    ("in a bucket, `train.cache=memory`", remote, "memory"),
                )
            ],
            "images/s",
            options.repetitions,
        )
    return Results(
        "storage",
        [Table(f"Shards of {options.num_images:,} synthetic images of {size} px, augmented", rows)],
    )
