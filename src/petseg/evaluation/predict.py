"""Predictions over a split: the network's class for every pixel, and one confusion matrix per picture."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tqdm import tqdm

from petseg.batches import read_batches, whole_batches
from petseg.confusion import Matrix, count_confusion
from petseg.determinism import make_deterministic
from petseg.errors import PetsegError
from petseg.model.saved import SavedModel
from petseg.records.manifest import Manifest, checked_shards


@dataclass(frozen=True)
class Prediction:
    """One picture of a split with what the network made of it."""

    file_name: str
    breed: str
    species: str
    image: NDArray[np.uint8]  # (S, S, 3)
    mask: NDArray[np.uint8]  # (S, S), the truth
    predicted: NDArray[np.uint8]  # (S, S)
    confusion: Matrix  # (N, N)


def predict_split(
    saved: SavedModel,
    records_dir: Path,
    manifest: Manifest,
    split: str,
    batch_size: int,
    only: Collection[str] | None = None,
) -> Iterator[Prediction]:
    """Every picture of a split, in the order of its shards, or `only` those of the given file names.

    Raises PetsegError if model and data don't fit together.
    """
    if saved.class_names != manifest.class_names or saved.image_size != manifest.image_size:
        raise PetsegError(
            f"The model was trained for {', '.join(saved.class_names)} at {saved.image_size} px, the shards hold "
            f"{', '.join(manifest.class_names)} at {manifest.image_size} px; run dvc repro."
        )

    make_deterministic()
    size = manifest.image_size

    @tf.function(
        input_signature=[tf.TensorSpec([None, size, size, 3], tf.uint8), tf.TensorSpec([None, size, size], tf.uint8)]
    )
    def forward(image: tf.Tensor, mask: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        logits = saved.network(tf.cast(image, tf.float32), training=False)
        return tf.cast(tf.argmax(logits, -1), tf.uint8), count_confusion(mask, logits)

    shards = checked_shards(records_dir, manifest, split)
    batches = read_batches(whole_batches(shards, batch_size))
    with tqdm(total=shards.examples, desc=f"predict {split}", unit="picture", disable=None) as bar:
        for batch in batches:
            fields = {key: value.numpy() for key, value in batch.items()}
            read = len(fields["file_name"])
            if only is not None:
                wanted = [name.decode() in only for name in fields["file_name"]]
                fields = {key: values[wanted] for key, values in fields.items()}
            if len(fields["file_name"]):
                predicted, confusion = forward(fields["image"], fields["mask"])
                yield from _predictions(fields, predicted.numpy(), confusion.numpy())
            bar.update(read)


def _predictions(fields: dict[str, Any], predicted: NDArray[np.uint8], confusion: Matrix) -> Iterator[Prediction]:
    for i in range(len(predicted)):
        yield Prediction(
            file_name=fields["file_name"][i].decode(),
            breed=fields["breed"][i].decode(),
            species=fields["species"][i].decode(),
            image=fields["image"][i],
            mask=fields["mask"][i],
            predicted=predicted[i],
            confusion=confusion[i],
        )
