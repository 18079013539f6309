"""The peer: a reimplementation of TensorFlow's image segmentation tutorial.

    python -m benchmarks.tutorial --raw data/raw --shards data/tfrecords --weights FILE.h5

https://www.tensorflow.org/tutorials/images/segmentation: MobileNetV2 at 128 px, frozen, inputs in
[0, 1]; transposed convolutions of 512, 256, 128 and 64 channels; cross-entropy, Adam, batches of
64, flip; images decoded and resized one by one, cached as float32. The tutorial has no validation
split: here it doesn't train on our validation images, and is evaluated on them after each epoch.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import click
import keras
import numpy as np
import tensorflow as tf
from keras import layers

from benchmarks.tutorial_network import build_tutorial_network
from petseg.batches import read_batches
from petseg.metrics import accuracy, count_confusion, mean_iou
from petseg.preprocessing.splits import is_validation
from petseg.raw import open_split, read_dataset_info
from petseg.shards.manifest import ShardSet, open_shards, read_manifest
from petseg.training.input_pipeline import validation_batches

BATCH = 64
_SHUFFLE_BUFFER = 1000


def compile_tutorial(network: keras.Model) -> keras.Model:
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    network.compile(optimizer="adam", loss=loss, metrics=["accuracy"])
    return network


def tutorial_batches(raw: Path, size: int, val_fraction: float, seed: int) -> tf.data.Dataset:
    """Repeat batches of the training images forever.

    Yields images (B, S, S, 3) of 0..1 and masks (B, S, S, 1) without our validation images.
    """
    dataset_info = read_dataset_info(raw)
    dataset, info = open_split(raw, dataset_info, "train")
    breeds = info.features["label"].names

    def is_trained_on(example: dict[str, tf.Tensor]) -> tf.Tensor:
        def decide(name: bytes, label: np.int64) -> bool:
            return not is_validation(name.decode(), breeds[label], val_fraction, seed)

        return tf.ensure_shape(
            tf.numpy_function(decide, [example["file_name"], example["label"]], tf.bool), []
        )

    def load(example: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        image = tf.io.decode_image(example["image"], channels=3, expand_animations=False)
        mask = tf.io.decode_image(example["segmentation_mask"], channels=1, expand_animations=False)
        image.set_shape([None, None, 3])
        mask.set_shape([None, None, 1])
        image = tf.image.resize(image, (size, size)) / 255.0
        mask = tf.image.resize(mask, (size, size), method="nearest")
        return image, tf.cast(mask, tf.float32) - dataset_info.first_label

    # The layers share a seed, so image and mask are mirrored together.
    flips = [layers.RandomFlip("horizontal", seed=42) for _ in range(2)]

    def flip(image: tf.Tensor, mask: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return flips[0](image, training=True), flips[1](mask, training=True)

    loaded = dataset.filter(is_trained_on).map(load, num_parallel_calls=tf.data.AUTOTUNE)
    batches = loaded.cache().shuffle(_SHUFFLE_BUFFER).batch(BATCH).repeat().map(flip)
    return batches.prefetch(tf.data.AUTOTUNE)


def make_evaluator(network: keras.Model, shards: ShardSet) -> Callable[[], tuple[float, float]]:
    """Return a function that computes (mean IoU, accuracy) on a split; traces the network once."""

    @tf.function
    def count(image: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        logits = network(tf.cast(image, tf.float32) / 255.0, training=False)
        return tf.reduce_sum(count_confusion(mask, logits), axis=0)

    def evaluate() -> tuple[float, float]:
        total = sum(
            count(image, mask).numpy()
            for image, mask, _ in read_batches(validation_batches(shards, BATCH))
        )
        return float(mean_iou(total)), float(accuracy(total))

    return evaluate


@click.command()
@click.option(
    "--raw",
    type=click.Path(path_type=Path),
    default="data/raw",
    help="What the download stage wrote.",
)
@click.option(
    "--shards",
    type=click.Path(path_type=Path),
    default="data/tfrecords",
    help="What the preprocess stage wrote.",
)
@click.option(
    "--val-fraction", type=float, default=0.1, help="preprocess.val_fraction of the shards."
)
@click.option(
    "--weights", required=True, help="Encoder weights: a .h5 file without top, or imagenet."
)
@click.option("--epochs", type=int, default=20)
@click.option("--seed", type=int, default=0)
def main(
    raw: Path, shards: Path, val_fraction: float, weights: str, epochs: int, seed: int
) -> None:
    """Train with the tutorial's recipe and print a line after each epoch."""
    keras.utils.set_random_seed(seed)
    manifest = read_manifest(shards)
    val = open_shards(shards, manifest, "val")
    steps = manifest.splits["train"].num_examples // BATCH
    network = compile_tutorial(
        build_tutorial_network(manifest.image_size.height, val.num_classes, weights)
    )
    batches = tutorial_batches(raw, manifest.image_size.height, val_fraction, seed)

    evaluate = make_evaluator(network, val)

    class PrintMetrics(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
            val_iou, val_accuracy = evaluate()
            seconds = time.monotonic() - start
            print(
                f"epoch {epoch + 1}/{epochs}  val mean IoU {val_iou:.4f}  "
                f"accuracy {val_accuracy:.4f}  {seconds:.1f} s",
                flush=True,
            )

    start = time.monotonic()
    network.fit(
        batches, epochs=epochs, steps_per_epoch=steps, callbacks=[PrintMetrics()], verbose=0
    )


if __name__ == "__main__":
    sys.exit(main())
