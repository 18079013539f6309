"""The preprocess stage, compared with bare decoding and resizing on all cores."""

import itertools
import shutil
import tempfile
import time
from pathlib import Path

import tensorflow as tf
import tensorflow_datasets as tfds

from benchmarks.contenders import Contender, Prepared, ratio, take_turns
from benchmarks.options import Options
from benchmarks.results import Results, Table, Target
from benchmarks.workspace import Data, prepare_data, recipe_params, synthetic_params
from petseg.config.params import Params
from petseg.preprocessing.local import fetch_batch_size
from petseg.preprocessing.preprocess import preprocess
from petseg.preprocessing.transform import resize_image, resize_mask
from petseg.raw import open_split, read_dataset_info
from petseg.shards.tf_data import PARALLEL_CALLS, finalize_dataset

_SIDE = 400  # pixels of the synthetic images


def whole_stage(params: Params, data: Data) -> Prepared:
    num_images = _count_images(data)

    def measure() -> float:
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            preprocess(params.preprocess, params.seed, data.raw, Path(folder) / "tfrecords")
            return num_images / (time.perf_counter() - start)

    return Prepared(measure, {"images": num_images})


def bare(params: Params, data: Data) -> Prepared:
    """Read, decode and resize images and masks, and fetch and discard the batches."""
    size, num_images = params.preprocess.image_size, _count_images(data)

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

    def measure() -> float:
        start = time.perf_counter()
        for split in ("train", "test"):
            dataset, _ = open_split(data.raw, dataset_info, split)
            for _ in finalize_dataset(
                dataset.map(work, PARALLEL_CALLS).batch(fetch_batch_size(size)), prefetch=1
            ):
                pass
        return num_images / (time.perf_counter() - start)

    return Prepared(measure)


def _count_images(data: Data) -> int:
    builder = tfds.builder_from_directory(data.raw / read_dataset_info(data.raw).directory)
    return sum(split.num_examples for split in builder.info.splits.values())


def repeat_photos(photos: Path, folder: Path, at_least: int) -> Path:
    """Link each image of a data set in the Oxford layout until there are `at_least` images."""
    shutil.rmtree(folder, ignore_errors=True)
    for kind in ("images", "annotations/trimaps"):
        (folder / kind).mkdir(parents=True)
    lists = {
        name: (photos / "annotations" / name).read_text().splitlines()
        for name in ("trainval.txt", "test.txt")
    }
    times = -(-at_least // sum(map(len, lists.values())))
    for list_name, lines in lists.items():
        with (folder / "annotations" / list_name).open("w") as file:
            for line, copy in itertools.product(lines, range(times)):
                name, rest = line.split(" ", 1)
                file.write(f"{name}{copy:03d} {rest}\n")
                for kind, suffix in (("images", "jpg"), ("annotations/trimaps", "png")):
                    source = photos / kind / f"{name}.{suffix}"
                    (folder / kind / f"{name}{copy:03d}.{suffix}").symlink_to(source)
    return folder


def run(options: Options) -> Results:
    sets = {
        f"synthetic, {_SIDE} px": synthetic_params(
            "mobilenet", options.num_images, options.sizes[0], dataset__synthetic_pets__size=_SIDE
        )
    }
    if options.photos:
        folder = repeat_photos(
            options.photos, options.scratch / f"repeated-{options.num_images}", options.num_images
        )
        real = {
            "dataset__name": "folder",
            "dataset__folder__path": str(folder),
            "model__weights": "none",
        }
        sets[options.photos.name] = recipe_params(
            "mobilenet pets128", train__frozen_encoder_epochs=0, **real
        )
    tables, targets = [], []
    for name, params in sets.items():
        data = prepare_data(params, options.scratch)
        rows = take_turns(
            [
                Contender("bare decoding and resizing", bare, {"params": params, "data": data}),
                Contender("preprocess stage", whole_stage, {"params": params, "data": data}),
            ],
            "images/s",
            options.repetitions,
        )
        tables.append(Table(f"Preprocessing to {params.preprocess.image_size}, {name}", rows))
        targets.append(
            Target(
                f"preprocess stage relative to bare decoding and resizing, {name}",
                ratio(rows[1], rows[0]),
                0.8,
            )
        )
    return Results("preprocess", tables, targets)
