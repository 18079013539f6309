"""TFRecords to augmented batches, against the same without augmentation, the tutorial's way, and the bare decoding."""

import itertools
import time

import tensorflow as tf
import tensorflow_datasets as tfds

from benchmarks.contenders import Contender, Ready, take_turns
from benchmarks.findings import Outcome, Table
from benchmarks.options import Options
from benchmarks.tutorial import BATCH, tutorial_batches
from benchmarks.workspace import Data, drawn_params, prepare
from petseg.batches import read_batches
from petseg.config.params import AugmentParams
from petseg.raw import open_split, read_dataset_info
from petseg.shards.tf_data import PARALLEL_CALLS, finalize_dataset
from petseg.training.input_pipeline import training_batches, validation_batches


def ours(data: Data, augment: AugmentParams, buffer: int) -> Ready:
    shards = data.shards("train")
    epochs = itertools.count(1)

    def epoch() -> float:
        return _per_second(
            training_batches(shards, BATCH, buffer, augment, 0, next(epochs)), shards.num_examples
        )

    return Ready(epoch)


def only_read(data: Data) -> Ready:
    shards = data.shards("train")
    return Ready(lambda: _per_second(validation_batches(shards, BATCH), shards.num_examples))


def the_tutorial_s(data: Data, size: int, val_fraction: float) -> Ready:
    """An endless data set, so that its cache lasts; an epoch is as many batches as the pictures fill."""
    count = data.shards("train").num_examples
    batches = iter(tutorial_batches(data.raw, size, val_fraction, seed=0))
    return Ready(lambda: _per_second(itertools.islice(batches, count // BATCH), count))


def bare_decoding(data: Data) -> Ready:
    """Image and mask of PNG or JPEG to pixels: the rate of one core, times the cores."""
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
    return Ready(
        lambda: PARALLEL_CALLS * _per_second(decoded, len(encoded)),
        {"pictures": info.splits["train"].num_examples},
    )


def _per_second(batches: object, pictures: int) -> float:
    """Pictures a second, counted from the call for the first batch."""
    start = time.perf_counter()
    for _ in read_batches(batches):
        pass
    return pictures / (time.perf_counter() - start)


def run(options: Options) -> Outcome:
    tables = []
    for size in options.sizes:
        params = drawn_params("default", options.pictures, size)
        data = prepare(params, options.scratch)
        buffer = params.train.shuffle_buffer
        rows = take_turns(
            [
                Contender(
                    "petseg: read, shuffle, augment",
                    ours,
                    {"data": data, "augment": params.train.augment, "buffer": buffer},
                ),
                Contender("petseg: read only", only_read, {"data": data}),
                Contender(
                    "the tutorial's: decode, resize, cache float32, flip",
                    the_tutorial_s,
                    {"data": data, "size": size, "val_fraction": params.preprocess.val_fraction},
                ),
                Contender("bare decoding, one core times the cores", bare_decoding, {"data": data}),
            ],
            "images/s",
            options.repetitions,
        )
        tables.append(
            Table(f"Input, {options.pictures:,} pictures drawn at {size} px, batch {BATCH}", rows)
        )
    return Outcome("input", tables)
