"""Predict a split of the shards: a class for every pixel and a confusion matrix for every image."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from petseg.batches import example_batches, prefetch, read_batches
from petseg.config.params import TtaParams
from petseg.config.tiles import Tiles
from petseg.config.types import Resolution
from petseg.core.errors import PetsegError
from petseg.core.geometry import ImageSize, describe_input, place
from petseg.determinism import make_deterministic
from petseg.metrics import Matrix, count_labels
from petseg.model.saved import SavedModel
from petseg.prediction.backend import PredictFn
from petseg.prediction.joining import JoinedImage, incomplete
from petseg.prediction.tta import NO_TTA, predict_probabilities
from petseg.shards.example import decode_original_mask
from petseg.shards.label_map import label_lookup
from petseg.shards.manifest import Manifest, open_shards


@dataclass(frozen=True)
class Prediction:
    """An image of a split, its true mask and the predicted mask."""

    file_name: str
    category: str
    supercategory: str
    image: NDArray[np.uint8]  # (h, w, 3), at the network's scale
    original_shape: tuple[int, int]  # (height, width) of the image in data/raw
    mask: NDArray[np.uint8]  # the truth: (h, w), or at another scale
    predicted: NDArray[np.uint8]  # of the mask's shape
    confusion: Matrix  # (N, N)

    def for_drawing(self) -> "Prediction":
        """Return the prediction with its masks at the size of the image."""
        if self.mask.shape == self.image.shape[:2]:
            return self
        shape = self.image.shape[0], self.image.shape[1]
        mask, predicted = (_resize_labels(labels, shape) for labels in (self.mask, self.predicted))
        return replace(self, mask=mask, predicted=predicted)


@dataclass(frozen=True)
class _Batch:
    num_read: int  # images read, selected or not
    fields: dict[str, Any]  # of the B selected images
    probabilities: Any  # (B, H, W, N), still on the device
    predicted: NDArray[np.uint8]  # (B, H, W)


class _PredictedExample(NamedTuple):
    """An image or tile of a batch."""

    fields: dict[str, Any]
    predicted: NDArray[np.uint8]  # (H, W)
    batch: _Batch
    position: int  # in the batch

    @property
    def probabilities(self) -> Any:  # (H, W, N), still on the device
        return self.batch.probabilities[self.position]


class _Compared(NamedTuple):
    """An image at the scale at which its prediction is compared with the truth."""

    fields: dict[str, Any]
    image: NDArray[np.uint8]  # at the network's scale
    mask: NDArray[np.uint8]
    predicted: NDArray[np.uint8]  # of the mask's shape


def predict_split(
    saved: SavedModel,
    shards_dir: Path,
    manifest: Manifest,
    split: str,
    batch_size: int,
    tta: TtaParams = NO_TTA,
    resolution: Resolution = "model",
    file_names: Collection[str] | None = None,
) -> Iterator[Prediction]:
    """Predict the images of a split in the order of its shards; with `file_names`, only those.

    Images and masks have the model's size, less the padding of images of another shape. With
    another `resolution`, the probabilities are resized to each image's original size and compared
    with its original mask, or with its center if the image was cropped; if it is a number of
    pixels, both are resized to a square with such a side. Tiles are always joined to whole images
    of the original size, whose `image` is small.
    Raises PetsegError if the model doesn't fit the data or a shard is damaged.
    """
    check_model_fits(saved, manifest)
    shards = open_shards(shards_dir, manifest, split)
    make_deterministic()
    num_classes = len(manifest.class_names)
    lookup = label_lookup(manifest.first_label, num_classes)
    forward = _trace_forward(saved.network, manifest.image_size, tta)
    batches = _predict_batches(
        forward, example_batches(shards, batch_size, tiled=manifest.tiles is not None), file_names
    )
    unit = "tile" if manifest.tiles else "image"
    with tqdm(
        total=shards.num_examples, desc=f"predict {split}", unit=unit, disable=None
    ) as progress:
        examples = _predicted_examples(prefetch(batches), progress)
        if manifest.tiles:
            compared = _join_tiles(examples, manifest.tiles, lookup, num_classes)
        else:
            compared = (_compare(example, manifest, lookup, resolution) for example in examples)
        for fields, image, mask, predicted in compared:
            yield Prediction(
                file_name=fields["file_name"].decode(),
                category=fields["category"].decode(),
                supercategory=fields["supercategory"].decode(),
                image=image,
                original_shape=(int(fields["height"]), int(fields["width"])),
                mask=mask,
                predicted=predicted,
                confusion=count_labels(mask, predicted, num_classes),
            )


def _predicted_examples(batches: Iterator[_Batch], progress: Any) -> Iterator[_PredictedExample]:
    for batch in batches:
        for i, predicted in enumerate(batch.predicted):
            fields = {name: values[i] for name, values in batch.fields.items()}
            yield _PredictedExample(fields, predicted, batch, i)
        progress.update(batch.num_read)


def _compare(
    example: _PredictedExample,
    manifest: Manifest,
    lookup: NDArray[np.int16],
    resolution: Resolution,
) -> _Compared:
    """Put truth and prediction of an image at the resolution, without padding."""
    fields = example.fields
    shape = int(fields["height"]), int(fields["width"])
    source, target = place(*shape, manifest.image_size, manifest.resize)
    image, mask = fields["image"][target.slices], fields["mask"][target.slices]
    predicted = example.predicted[target.slices]
    if resolution != "model":
        mask = decode_original_mask(fields, lookup)[source.slices]
        if resolution != "original":
            mask = _resize_labels(mask, (resolution, resolution))
        predicted = _predict_at(example.probabilities[target.slices], mask.shape)
    return _Compared(fields, image, mask, predicted)


def _join_tiles(
    examples: Iterator[_PredictedExample],
    tiles: Tiles,
    lookup: NDArray[np.int16],
    num_classes: int,
) -> Iterator[_Compared]:
    """Yield whole images of the original size. Raises PetsegError if the last lacks tiles."""
    joined = None
    for example in examples:
        joined = joined or JoinedImage(example.fields, tiles, num_classes)
        joined.add(example.fields, np.asarray(example.probabilities))
        if joined.is_done:
            mask = decode_original_mask(joined.first, lookup)
            yield _Compared(joined.first, joined.thumbnail, mask, joined.predicted)
            joined = None
    if joined:
        raise incomplete(joined.first)


def check_model_fits(saved: SavedModel, manifest: Manifest) -> None:
    """Raise PetsegError unless model and data have the same classes and input."""
    if mismatch := describe_mismatch(saved, manifest):
        raise PetsegError(f"The model {mismatch}; run dvc repro.")


def describe_mismatch(saved: SavedModel, manifest: Manifest) -> str | None:
    """Say how a model's classes or input differ from those of the shards, if they do."""
    ours, theirs = ((x.class_names, x.image_size, x.resize, x.tiles) for x in (saved, manifest))
    if ours == theirs:
        return None
    trained_for, held = (
        f"{', '.join(part.class_names)} at {describe_input(part.image_size, part.resize)}"
        f"{f' in tiles of {part.tiles}' if part.tiles else ''}"
        for part in (saved, manifest)
    )
    return f"was trained for {trained_for}, but the shards hold {held}"


def keras_predict_fn(network: keras.Model, size: ImageSize, tta: TtaParams = NO_TTA) -> PredictFn:
    """Return the Keras network as a `PredictFn` for batches of any length."""
    forward = _trace_forward(network, size, tta)
    return lambda images: np.asarray(forward(tf.constant(images)))


@lru_cache(maxsize=2)  # trace once for several splits, and when two models are compared
def _trace_forward(network: keras.Model, size: ImageSize, tta: TtaParams) -> Callable[..., Any]:
    """Return a graph function from images (B, H, W, 3) uint8 to probabilities (B, H, W, N)."""

    @tf.function(input_signature=[tf.TensorSpec([None, *size, 3], tf.uint8)])
    def forward(images: tf.Tensor) -> tf.Tensor:
        return predict_probabilities(network, tf.cast(images, tf.float32), tta)

    forward.get_concrete_function()  # trace here, since some Keras settings are thread-local
    traced: Callable[..., Any] = forward
    return traced


def _predict_batches(
    forward: Callable[..., Any],
    batches: tf.data.Dataset,
    file_names: Collection[str] | None,
) -> Iterator[_Batch]:
    """Run the network on every batch; a batch without a selected image yields no images."""
    for batch in read_batches(batches):
        fields = {key: value.numpy() for key, value in batch.items()}
        num_read = len(fields["file_name"])
        if file_names is not None:
            selected = [name.decode() in file_names for name in fields["file_name"]]
            fields = {key: values[selected] for key, values in fields.items()}
        if len(fields["image"]) == 0:
            yield _Batch(num_read, fields, np.zeros([0]), np.zeros([0], np.uint8))
            continue
        probabilities = forward(fields["image"])
        predicted = tf.cast(tf.argmax(probabilities, -1), tf.uint8)
        yield _Batch(num_read, fields, probabilities, predicted.numpy())


def _predict_at(probabilities: tf.Tensor, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Resize probabilities (h, w, N) to (height, width) and return the most probable class.

    It is the first of equally probable ones. One class after the other is resized: all of them
    would need 4 N bytes per pixel.
    """
    predicted = np.zeros(size, np.uint8)
    highest = np.full(size, -np.inf, np.float32)
    for index in range(probabilities.shape[-1]):
        plane = probabilities[..., index : index + 1]
        resized = tf.image.resize(plane, size, method="bilinear").numpy()[..., 0]
        predicted[resized > highest] = index
        np.maximum(highest, resized, out=highest)
    return predicted


def _resize_labels(labels: NDArray[np.uint8], shape: tuple[int, int]) -> NDArray[np.uint8]:
    """Resize a mask to (height, width); each pixel keeps the nearest one's class."""
    image = Image.fromarray(labels).resize((shape[1], shape[0]), Image.Resampling.NEAREST)
    return np.asarray(image)
