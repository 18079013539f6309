"""TFRecords to augmented batches, compared with reading only, the tutorial and bare decoding."""

import itertools
import time

import tensorflow as tf
import tensorflow_datasets as tfds

from benchmarks.contenders import Contender, Prepared, take_turns
from benchmarks.options import Options
from benchmarks.results import Results, Table
from benchmarks.tutorial import BATCH, tutorial_batches
from benchmarks.workspace import Data, prepare_data, synthetic_params
from petseg.batches import read_batches
from petseg.config.train_params import AugmentParams
from petseg.raw import open_split, read_dataset_info
from petseg.shards.tf_data import PARALLEL_CALLS, finalize_dataset
from petseg.training.input_pipeline import training_batches, validation_batches


def ours(data: Data, augment: AugmentParams, buffer: int) -> Prepared:
    shards = data.open_shards("train")
    epochs = itertools.count(1)

    def epoch() -> float:
        return _images_per_second(
            training_batches(shards, BATCH, buffer, augment, 0, next(epochs)), shards.num_examples
        )

    return Prepared(epoch)


def read_only(data: Data) -> Prepared:
    shards = data.open_shards("train")
    return Prepared(
        lambda: _images_per_second(validation_batches(shards, BATCH), shards.num_examples)
    )


def tutorial_input(data: Data, size: int, val_fraction: float) -> Prepared:
    """Repeat the data set forever, to keep its cache; an epoch is one pass over the images."""
    count = data.open_shards("train").num_examples
    batches = iter(tutorial_batches(data.raw, size, val_fraction, seed=0))
    return Prepared(lambda: _images_per_second(itertools.islice(batches, count // BATCH), count))


def bare_decoding(data: Data) -> Prepared:
    """Decode images and masks on one core; the rate is multiplied by the number of cores."""
    dataset, info = open_split(data.raw, read_dataset_info(data.raw), "train")
    encoded = [
        (example["image"], example["segmentation_mask"]) for example in tfds.as_numpy(dataset)
    ]
    images, masks = (tf.constant(list(column)) for column in zip(*encoded, strict=True))

    def decode(image: tf.Tensor, mask: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.io.decode_image(image, expand_animations=False), tf.io.decode_image(
            mask, expand_animations=False
        )

    one_thread = tf.data.Options()
    one_thread.threading.private_threadpool_size = 1
    decoded = finalize_dataset(
        tf.data.Dataset.from_tensor_slices((images, masks)).map(decode), prefetch=0
    )
    decoded = decoded.with_options(one_thread)
    return Prepared(
        lambda: PARALLEL_CALLS * _images_per_second(decoded, len(encoded)),
        {"images": info.splits["train"].num_examples},
    )


def _images_per_second(batches: object, num_images: int) -> float:
    """Measure from the request of the first batch."""
    start = time.perf_counter()
    for _ in read_batches(batches):
        pass
    return num_images / (time.perf_counter() - start)


def run(options: Options) -> Results:
    tables = []
    for size in options.sizes:
        params = synthetic_params("mobilenet", options.num_images, size)
        data = prepare_data(params, options.scratch)
        buffer = params.train.shuffle_buffer
        rows = take_turns(
            [
                Contender(
                    "petseg: read, shuffle, augment",
                    ours,
                    {"data": data, "augment": params.train.augment, "buffer": buffer},
                ),
                Contender("petseg: read only", read_only, {"data": data}),
                Contender(
                    "tutorial: decode, resize, cache float32, flip",
                    tutorial_input,
                    {"data": data, "size": size, "val_fraction": params.preprocess.val_fraction},
                ),
                Contender("bare decoding, one core x cores", bare_decoding, {"data": data}),
            ],
            "images/s",
            options.repetitions,
        )
        tables.append(
            Table(
                f"Input, {options.num_images:,} synthetic images of {size} px, batch {BATCH}", rows
            )
        )
    return Results("input", tables)
