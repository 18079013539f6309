"""From a prepared data set to the shards of train, val and test.

Pictures stream through: decoding, checking and resizing run in parallel, writing in a fixed order, and no more than a
few pictures are in memory at a time.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from tqdm import tqdm

from petseg.classes import IGNORE_LABEL, colours_of
from petseg.datasets.source import Source, open_split, read_source
from petseg.errors import PetsegError, first_line
from petseg.files import allow_open_files, whole_folder
from petseg.hashing import unit_hash
from petseg.params import PreprocessParams
from petseg.records.example import Example
from petseg.records.labels import label_lookup
from petseg.records.manifest import NO_STORAGE, SPLITS, Manifest, Split, write_manifest
from petseg.records.shards import SplitWriter, shards_for
from petseg.records.storage import upload
from petseg.streams import PARALLEL_CALLS, as_stream


def preprocess(params: PreprocessParams, seed: int, raw_dir: Path, out_dir: Path) -> Manifest:
    """Write all shards and, last of all, the manifest. Raises PetsegError on a broken picture or an unknown label."""
    source = read_source(raw_dir)
    with whole_folder(out_dir) as folder:
        splits = _write_shards(params, seed, raw_dir, source, folder)
        manifest = Manifest(
            source=source.name,
            image_size=params.image_size,
            classes=colours_of(source.class_names),
            first_label=source.first_label,
            splits=splits,
            storage=params.storage,
        )
        _every_class_is_there(manifest)
        if manifest.storage != NO_STORAGE:
            shards = [shard for split in splits.values() for shard in split.shards]
            upload({folder / shard.file: shard.sha256 for shard in shards}, manifest.storage)
        write_manifest(manifest, folder)
    return manifest


def _write_shards(params: PreprocessParams, seed: int, raw_dir: Path, source: Source, folder: Path) -> dict[str, Split]:
    """The shards of all splits, and their entries for the manifest."""
    shards = {
        split: params.shards or shards_for(examples, params.image_size)
        for split, examples in _expected(params, raw_dir, source).items()
    }
    allow_open_files(sum(shards.values()))
    with ExitStack() as stack:
        writers = {split: stack.enter_context(SplitWriter(folder, split, shards[split])) for split in SPLITS}
        for tfds_split, val_fraction in (("train", params.val_fraction), ("test", 0.0)):
            for in_val, fields in _examples(raw_dir, source, tfds_split, params.image_size, val_fraction, seed):
                split = "val" if in_val else tfds_split
                if split == "train" and not is_used(fields["file_name"], fields["breed"], params.train_fraction, seed):
                    continue
                writer = writers[split]
                writer.write(Example(index=writer.examples, **fields))
    for split, writer in writers.items():
        if writer.examples == 0:
            raise PetsegError(_empty_split(split, params))
    return {split: writer.summary(source.class_names) for split, writer in writers.items()}


def _expected(params: PreprocessParams, raw_dir: Path, source: Source) -> dict[str, int]:
    """About how many examples each split will have."""
    train, test = (open_split(raw_dir, source, split)[1].splits[split].num_examples for split in ("train", "test"))
    kept = params.train_fraction * (1 - params.val_fraction)
    return {"train": round(train * kept), "val": round(train * params.val_fraction), "test": test}


def is_validation(file_name: str, breed: str, val_fraction: float, seed: int) -> bool:
    """Whether a training picture is kept for validation.

    The draw is made for each breed apart by a hash of the file name, and looks at nothing else: so adding or removing
    pictures moves no other, and each breed gives `val_fraction` of its pictures on average. (An exact quota per breed
    can't have the first property: a picture more would push another over the line.)
    """
    return unit_hash("val", seed, breed, file_name) < val_fraction


def is_used(file_name: str, breed: str, train_fraction: float, seed: int) -> bool:
    """Whether a training picture that is not for validation is trained on, drawn likewise."""
    return unit_hash("train", seed, breed, file_name) < train_fraction


def _every_class_is_there(manifest: Manifest) -> None:
    for name, split in manifest.splits.items():
        if sum(split.pixels.values()) == split.pixels["ignored"]:
            raise PetsegError(
                f"Every pixel of the {name} split's masks is {IGNORE_LABEL}, ignored; label some pictures."
            )
    pixels = manifest.splits["train"].pixels
    for index, name in enumerate(manifest.class_names):
        if pixels[name] == 0:
            raise PetsegError(
                f"No mask of the train split holds a pixel of class {index}, {name!r} ({pixels['ignored']} of "
                f"{sum(pixels.values())} pixels are {IGNORE_LABEL}, ignored); masks must hold class numbers, "
                "and the classes must be those of the masks."
            )


def _empty_split(split: str, params: PreprocessParams) -> str:
    if split == "test":
        return "The test split is empty; add pictures to it."
    fractions = f"preprocess.val_fraction {params.val_fraction}"
    if split == "train" and params.train_fraction < 1:
        fractions += f" and preprocess.train_fraction {params.train_fraction}"
    return f"The {split} split is empty with {fractions}; change it or add pictures."


def _examples(
    raw_dir: Path, source: Source, tfds_split: str, size: int, val_fraction: float, seed: int
) -> Iterator[tuple[bool, dict[str, Any]]]:
    """(whether it is for validation, the fields of Example but its index) of each picture, checked."""
    dataset, info = open_split(raw_dir, source, tfds_split)
    breeds, species = info.features["label"].names, info.features["species"].names
    lookup = tf.constant(label_lookup(source.first_label, len(source.class_names)))

    def in_val(name: bytes, label: np.int64) -> bool:
        return is_validation(name.decode(), breeds[label], val_fraction, seed)

    def prepare(raw: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        image = tf.io.decode_image(raw["image"], channels=3, expand_animations=False)  # (height, width, 3)
        mask = tf.io.decode_image(raw["segmentation_mask"], channels=1, expand_animations=False)  # (height, width, 1)
        image.set_shape([None, None, 3])
        mask.set_shape([None, None, 1])
        val = tf.numpy_function(in_val, [raw["file_name"], raw["label"]], tf.bool, stateful=False)
        val.set_shape([])
        keep_original = val if tfds_split == "train" else tf.constant(True)
        return {
            "file_name": raw["file_name"],
            "label": raw["label"],
            "species": raw["species"],
            "image_shape": tf.shape(image)[:2],
            "mask_shape": tf.shape(mask)[:2],
            "unknown": unknown_label(mask, source.first_label, len(source.class_names)),
            "image": resize_image(image, size),
            "mask": tf.gather(lookup, tf.cast(resize_mask(mask, size), tf.int32)),
            "original_mask": tf.where(keep_original, raw["segmentation_mask"], b""),
            "val": val,
        }

    prepared = as_stream(dataset.map(prepare, PARALLEL_CALLS), prefetch=16)
    total = info.splits[tfds_split].num_examples
    for raw in tqdm(
        _naming_broken(prepared, dataset), total=total, desc=f"preprocess {tfds_split}", unit="picture", disable=None
    ):
        name = raw["file_name"].decode()
        _check(name, raw, source)
        height, width = map(int, raw["image_shape"])
        yield (
            bool(raw["val"]),
            {
                "file_name": name,
                "breed": breeds[raw["label"]],
                "species": species[raw["species"]].lower(),
                "height": height,
                "width": width,
                "image": raw["image"],
                "mask": raw["mask"],
                "original_mask": raw["original_mask"],
            },
        )


def unknown_label(mask: tf.Tensor, first_label: int, classes: int) -> tf.Tensor:
    """The largest value of a mask (H, W, 1) uint8 that is neither a class nor "ignore", () int32; -1 if all are."""
    in_range = mask - tf.constant(first_label, tf.uint8) < tf.constant(classes, tf.uint8)  # what is less wraps around
    unknown = tf.logical_not(in_range | (mask == IGNORE_LABEL))
    largest = tf.reduce_max(tf.where(unknown, mask, tf.constant(0, tf.uint8)))
    return tf.where(tf.reduce_any(unknown), tf.cast(largest, tf.int32), -1)


def resize_image(image: tf.Tensor, size: int) -> tf.Tensor:
    """(H, W, 3) uint8 to (size, size, 3) uint8: bilinear with antialiasing, aspect ratio not kept."""
    resized = tf.image.resize(image, [size, size], method="bilinear", antialias=True)
    return tf.cast(tf.clip_by_value(tf.round(resized), 0, 255), tf.uint8)


def resize_mask(mask: tf.Tensor, size: int) -> tf.Tensor:
    """(H, W, 1) uint8 to (size, size) uint8 by nearest neighbour, so that no label is made up."""
    return tf.image.resize(mask, [size, size], method="nearest")[..., 0]


def _check(name: str, raw: dict[str, Any], source: Source) -> None:
    if tuple(raw["image_shape"]) != tuple(raw["mask_shape"]):
        raise PetsegError(f"The mask of {name} has another size than its picture; a mask must have its picture's size.")
    if raw["unknown"] >= 0:
        last = source.first_label + len(source.class_names) - 1
        raise PetsegError(
            f"The mask of {name} holds the label {raw['unknown']}, but labels are {source.first_label} to {last} "
            f"({', '.join(source.class_names)}) and {IGNORE_LABEL} (ignore)."
        )


def _naming_broken(prepared: tf.data.Dataset, dataset: tf.data.Dataset) -> Iterator[dict[str, Any]]:
    """The prepared examples as numpy values; a picture that TensorFlow can't decode becomes an error with its name."""
    done = 0
    try:
        for raw in tfds.as_numpy(prepared):
            yield raw
            done += 1
    except (tf.errors.DataLossError, tf.errors.NotFoundError, tf.errors.FailedPreconditionError) as error:
        raise PetsegError(
            f"data/raw can't be read any further ({first_line(error)}); bring it back with dvc checkout --force, or "
            "make it anew with dvc repro --force download."
        ) from error
    except tf.errors.InvalidArgumentError as error:
        name = next(iter(dataset.skip(done).take(1)))["file_name"].numpy().decode()
        raise PetsegError(f"The picture {name} or its mask can't be decoded; mend it or take it out.") from error
