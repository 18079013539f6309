"""Predictions over a split: the network's class for every pixel, and one confusion matrix per picture."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tqdm import tqdm

from petseg.batches import example_batches, read_batches
from petseg.config.params import TtaParams
from petseg.core.errors import PetsegError
from petseg.determinism import make_deterministic
from petseg.metrics import Matrix, count_labels
from petseg.model.saved import SavedModel
from petseg.prediction.backend import PredictFn
from petseg.prediction.prefetch import prefetch
from petseg.prediction.tta import NO_TTA, predict_probabilities
from petseg.shards.example import decode_original_mask
from petseg.shards.label_map import label_lookup
from petseg.shards.manifest import Manifest, open_shards

_NOTHING = (np.zeros([0]), np.zeros([0], np.uint8))  # what the network says of no picture


@dataclass(frozen=True)
class Prediction:
    """One picture of a split with what the network made of it."""

    file_name: str
    category: str
    supercategory: str
    image: NDArray[np.uint8]  # (S, S, 3)
    mask: NDArray[np.uint8]  # (S, S) or the photo's own (height, width), the truth
    predicted: NDArray[np.uint8]  # likewise
    confusion: Matrix  # (N, N)


@dataclass(frozen=True)
class _Batch:
    read: int  # pictures
    fields: dict[str, Any]  # of those that are wanted
    scores: Any  # (B, S, S, N), still where they were computed
    chosen: NDArray[np.uint8]  # (B, S, S)


def predict_split(
    saved: SavedModel,
    shards_dir: Path,
    manifest: Manifest,
    split: str,
    batch_size: int,
    tta: TtaParams = NO_TTA,
    original: bool = False,
    only: Collection[str] | None = None,
) -> Iterator[Prediction]:
    """Every picture of a split, in the order of its shards, or `only` those of the given file names.

    Probabilities are the mean over the forms of `tta`. With `original` they are enlarged to the photo's own size and
    compared with its mask of that size, else at the model's. Raises PetsegError if model and data don't fit together.
    """
    check_fit(saved, manifest)
    shards = open_shards(shards_dir, manifest, split)
    make_deterministic()
    size, classes = manifest.image_size, len(manifest.class_names)
    lookup = label_lookup(manifest.first_label, classes)

    forward = _make_forward(saved.network, size, tta)

    @tf.function(
        input_signature=[
            tf.TensorSpec([size, size, classes], tf.float32),
            tf.TensorSpec([2], tf.int32),
        ]
    )
    def choose_at(scores: tf.Tensor, original_size: tf.Tensor) -> tf.Tensor:
        enlarged = tf.image.resize(scores, original_size, method="bilinear")
        return tf.cast(tf.argmax(enlarged, -1), tf.uint8)

    def scored() -> Iterator[_Batch]:
        for batch in read_batches(example_batches(shards, batch_size)):
            fields = {key: value.numpy() for key, value in batch.items()}
            read = len(fields["file_name"])
            if only is not None:
                wanted = [name.decode() in only for name in fields["file_name"]]
                fields = {key: values[wanted] for key, values in fields.items()}
            scores, chosen = forward(fields["image"]) if len(fields["image"]) else _NOTHING
            yield _Batch(read, fields, scores, np.asarray(chosen))

    with tqdm(
        total=shards.num_examples, desc=f"predict {split}", unit="picture", disable=None
    ) as bar:
        for batch in prefetch(scored()):
            for i, predicted in enumerate(batch.chosen):
                one = {key: values[i] for key, values in batch.fields.items()}
                mask = one["mask"]
                if original:
                    mask = decode_original_mask(one, lookup)
                    predicted = choose_at(batch.scores[i], mask.shape).numpy()
                yield _prediction(one, mask, predicted, classes)
            bar.update(batch.read)


@lru_cache(maxsize=2)  # to trace once for several splits, and for two models in turns
def _make_forward(network: keras.Model, size: int, tta: TtaParams) -> Callable[..., Any]:
    """A function of images (B, S, S, 3) uint8: (probabilities (B, S, S, N), most probable class (B, S, S) uint8)."""

    @tf.function(input_signature=[tf.TensorSpec([None, size, size, 3], tf.uint8)])
    def forward(image: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        scores = predict_probabilities(network, tf.cast(image, tf.float32), tta)
        return scores, tf.cast(tf.argmax(scores, -1), tf.uint8)

    forward.get_concrete_function()  # here: Keras keeps some settings for each thread
    traced: Callable[..., Any] = forward
    return traced


def check_fit(saved: SavedModel, manifest: Manifest) -> None:
    """Raises PetsegError if model and data don't fit together."""
    if saved.class_names != manifest.class_names or saved.image_size != manifest.image_size:
        raise PetsegError(
            f"The model was trained for {', '.join(saved.class_names)} at {saved.image_size} px, the shards hold "
            f"{', '.join(manifest.class_names)} at {manifest.image_size} px; run dvc repro."
        )


def keras_predict_fn(network: keras.Model, size: int, tta: TtaParams = NO_TTA) -> PredictFn:
    """Keras's network as a `PredictFn`, traced once, here, for batches of any length."""

    @tf.function(input_signature=[tf.TensorSpec([None, size, size, 3], tf.uint8)])
    def score(images: tf.Tensor) -> tf.Tensor:
        return predict_probabilities(network, tf.cast(images, tf.float32), tta)

    score.get_concrete_function()
    return lambda images: np.asarray(score(tf.constant(images)))


def _prediction(
    fields: dict[str, Any], mask: NDArray[np.uint8], predicted: NDArray[np.uint8], classes: int
) -> Prediction:
    return Prediction(
        **{key: fields[key].decode() for key in ("file_name", "category", "supercategory")},
        image=fields["image"],
        mask=mask,
        predicted=predicted,
        confusion=count_labels(mask, predicted, classes),
    )
