"""The stage preprocess against the bare decoding and resizing of the same pictures on all cores."""

import itertools
import shutil
import tempfile
import time
from pathlib import Path

import tensorflow as tf
import tensorflow_datasets as tfds

from benchmarks.contenders import Contender, Ready, ratio, take_turns
from benchmarks.findings import Outcome, Table, Target
from benchmarks.options import Options
from benchmarks.workspace import Data, drawn_params, prepare, recipe_params
from petseg.config.params import Params
from petseg.preprocessing.preprocess import fetch_batch_size, preprocess
from petseg.preprocessing.transform import resize_image, resize_mask
from petseg.raw import open_split, read_dataset_info
from petseg.shards.tf_data import PARALLEL_CALLS, finalize_dataset

_SIDE = 400  # of the drawn pictures


def whole_stage(params: Params, data: Data) -> Ready:
    pictures = _pictures(data)

    def once() -> float:
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            preprocess(params.preprocess, params.seed, data.raw, Path(folder) / "tfrecords")
            return pictures / (time.perf_counter() - start)

    return Ready(once, {"pictures": pictures})


def bare(params: Params, data: Data) -> Ready:
    """Image and mask read, decoded and brought to the network's size, handed over by the batch and thrown away."""
    size, pictures = params.preprocess.image_size, _pictures(data)

    def work(raw: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        image = tf.ensure_shape(
            tf.io.decode_image(raw["image"], 3, expand_animations=False), [None, None, 3]
        )
        mask = tf.ensure_shape(
            tf.io.decode_image(raw["segmentation_mask"], 1, expand_animations=False),
            [None, None, 1],
        )
        return resize_image(image, size), resize_mask(mask, size)

    dataset_info = read_dataset_info(data.raw)

    def once() -> float:
        start = time.perf_counter()
        for split in ("train", "test"):
            dataset, _ = open_split(data.raw, dataset_info, split)
            for _ in finalize_dataset(
                dataset.map(work, PARALLEL_CALLS).batch(fetch_batch_size(size)), prefetch=1
            ):
                pass
        return pictures / (time.perf_counter() - start)

    return Ready(once)


def _pictures(data: Data) -> int:
    builder = tfds.builder_from_directory(data.raw / read_dataset_info(data.raw).directory)
    return sum(split.num_examples for split in builder.info.splits.values())


def repeated(photos: Path, folder: Path, at_least: int) -> Path:
    """A data set in the Oxford layout, each picture so many times under other names that there are enough."""
    shutil.rmtree(folder, ignore_errors=True)
    for kind in ("images", "annotations/trimaps"):
        (folder / kind).mkdir(parents=True)
    lists = {
        name: (photos / "annotations" / name).read_text().splitlines()
        for name in ("trainval.txt", "test.txt")
    }
    times = -(-at_least // sum(map(len, lists.values())))
    for name, lines in lists.items():
        with (folder / "annotations" / name).open("w") as file:
            for line, copy in itertools.product(lines, range(times)):
                picture, rest = line.split(" ", 1)
                file.write(f"{picture}{copy:03d} {rest}\n")
                for kind, suffix in (("images", "jpg"), ("annotations/trimaps", "png")):
                    source = photos / kind / f"{picture}.{suffix}"
                    (folder / kind / f"{picture}{copy:03d}.{suffix}").symlink_to(source)
    return folder


def run(options: Options) -> Outcome:
    sets = {
        f"drawn at {_SIDE} px": drawn_params(
            "default", options.pictures, options.sizes[0], dataset__synthetic_pets__size=_SIDE
        )
    }
    if options.photos:
        folder = repeated(
            options.photos, options.scratch / f"repeated-{options.pictures}", options.pictures
        )
        real = {
            "dataset__name": "folder",
            "dataset__folder__path": str(folder),
            "model__weights": "none",
        }
        sets[f"of {options.photos.name}"] = recipe_params(
            "default", train__frozen_encoder_epochs=0, **real
        )
    tables, targets = [], []
    for name, params in sets.items():
        data = prepare(params, options.scratch)
        rows = take_turns(
            [
                Contender("bare decoding and resizing", bare, {"params": params, "data": data}),
                Contender("stage preprocess", whole_stage, {"params": params, "data": data}),
            ],
            "pictures/s",
            options.repetitions,
        )
        tables.append(
            Table(f"Preprocessing to {params.preprocess.image_size} px, pictures {name}", rows)
        )
        targets.append(
            Target(
                f"stage preprocess to bare decoding and resizing, {name}",
                ratio(rows[1], rows[0]),
                0.8,
            )
        )
    return Outcome("preprocess", tables, targets)
