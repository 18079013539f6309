"""From a prepared data set to the shards of train, val and test.

Pictures stream through: decoding, checking and resizing run in parallel, writing in a fixed order, and no more than a
few batches are in memory at a time. `preprocess.runner` chooses between this process and Apache Beam, which writes the
same bytes.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import tensorflow as tf
import tensorflow_datasets as tfds
from tqdm import tqdm

from petseg.config.params import PreprocessParams
from petseg.core.atomic_io import atomic_directory
from petseg.core.errors import PetsegError, first_line
from petseg.core.labels import IGNORE_LABEL, colors_of
from petseg.core.process import suppress_stderr
from petseg.preprocessing.splits import split_of
from petseg.preprocessing.transform import Photo, check, make_example, prepare, undecodable
from petseg.preprocessing.writer import SplitWriter, raise_open_file_limit, shard_counts
from petseg.raw import (
    DatasetInfo,
    open_split,
    raw_read_error,
    read_dataset_info,
    read_unverified_dataset_info,
)
from petseg.shards.manifest import NO_STORAGE, SPLITS, Manifest, Split, write_manifest
from petseg.shards.storage import upload_shards
from petseg.shards.tf_data import PARALLEL_CALLS, finalize_dataset

_FETCHED_BYTES = 2**20
_UNREADABLE = (tf.errors.DataLossError, tf.errors.NotFoundError, tf.errors.FailedPreconditionError)

_ShardsWriter = Callable[[PreprocessParams, int, Path, DatasetInfo, Path], dict[str, Split]]


def preprocess(params: PreprocessParams, seed: int, raw_dir: Path, out_dir: Path) -> Manifest:
    """Write all shards and, last of all, the manifest. Raises PetsegError on a broken picture or an unknown label."""
    if params.runner == "beam":
        dataset_info, write_shards = read_unverified_dataset_info(raw_dir), _beam_writer()
    else:
        dataset_info, write_shards = read_dataset_info(raw_dir), _write_shards
    with atomic_directory(out_dir) as folder:
        splits = write_shards(params, seed, raw_dir, dataset_info, folder)
        for name, split in splits.items():
            if split.num_examples == 0:
                raise PetsegError(_empty_split(name, params))
        manifest = Manifest(
            dataset=dataset_info.name,
            image_size=params.image_size,
            classes=colors_of(dataset_info.class_names),
            first_label=dataset_info.first_label,
            splits=splits,
            storage=params.storage,
        )
        _every_class_is_there(manifest)
        if manifest.storage != NO_STORAGE:
            shards = [shard for split in splits.values() for shard in split.shards]
            upload_shards({folder / shard.file: shard.sha256 for shard in shards}, manifest.storage)
        write_manifest(manifest, folder)
    return manifest


def fetch_size(image_size: int) -> int:
    """How many prepared pictures go from tf.data to Python at a time: a megabyte, 16 of 128 px, or one."""
    return max(1, _FETCHED_BYTES // (image_size**2 * 4))  # RGB and label


def _beam_writer() -> _ShardsWriter:
    if find_spec("apache_beam") is None:
        raise PetsegError(
            "preprocess.runner is beam, but Apache Beam is not installed; "
            "run pip install -e '.[beam]', or set preprocess.runner to local."
        )
    with suppress_stderr():
        from petseg.preprocessing.beam.pipeline import write_shards
    return write_shards


def _write_shards(
    params: PreprocessParams, seed: int, raw_dir: Path, dataset_info: DatasetInfo, folder: Path
) -> dict[str, Split]:
    """The shards of all splits, and their entries for the manifest."""
    opened = {split: open_split(raw_dir, dataset_info, split) for split in ("train", "test")}
    shards = shard_counts(
        params, *(info.splits[split].num_examples for split, (_, info) in opened.items())
    )
    raise_open_file_limit(sum(shards.values()))
    with ExitStack() as stack:
        writers = {
            split: stack.enter_context(SplitWriter(folder, split, shards[split]))
            for split in SPLITS
        }
        for tfds_split, (dataset, info) in opened.items():
            for photo, prepared in _pictures(
                tfds_split, dataset, info, dataset_info, params.image_size
            ):
                check(photo, prepared, dataset_info)
                split = split_of(tfds_split, photo.file_name, photo.category, params, seed)
                if split is not None:
                    writers[split].write(
                        make_example(writers[split].examples, split, photo, prepared)
                    )
    return {split: writer.summary(dataset_info.class_names) for split, writer in writers.items()}


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


def _pictures(
    tfds_split: str,
    dataset: tf.data.Dataset,
    info: tfds.core.DatasetInfo,
    dataset_info: DatasetInfo,
    size: int,
) -> Iterator[tuple[Photo, dict[str, Any]]]:
    """Each picture of one of the data set's own splits, prepared, in a fixed order."""
    categories, supercategories = info.features["label"].names, info.features["species"].names

    def work(raw: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        image, mask = raw["image"], raw["segmentation_mask"]
        return {
            **raw,
            **prepare(image, mask, size, dataset_info.first_label, len(dataset_info.class_names)),
        }

    total = info.splits[tfds_split].num_examples
    for raw in tqdm(
        _naming_broken(dataset, work, size),
        total=total,
        desc=f"preprocess {tfds_split}",
        unit="picture",
        disable=None,
    ):
        photo = Photo(
            file_name=raw["file_name"].decode(),
            category=categories[raw["label"]],
            supercategory=supercategories[raw["species"]].lower(),
            encoded_mask=raw["segmentation_mask"],
        )
        yield photo, raw


def _naming_broken(
    dataset: tf.data.Dataset, work: Callable[[Any], Any], size: int
) -> Iterator[dict[str, Any]]:
    """What `work` makes of each example, as numpy values; one that can't be decoded becomes an error with its name.

    From the first batch that fails they come one by one, so that of several mistakes the first is told.
    """
    done = 0
    with suppress(tf.errors.InvalidArgumentError, *_UNREADABLE):
        for prepared in _as_numpy(dataset.map(work, PARALLEL_CALLS), fetch_size(size)):
            yield prepared
            done += 1
        return
    try:
        for prepared in _as_numpy(dataset.skip(done).map(work, PARALLEL_CALLS), 1):
            yield prepared
            done += 1
    except _UNREADABLE as error:
        raise raw_read_error(first_line(error)) from error
    except tf.errors.InvalidArgumentError as error:
        broken = next(iter(finalize_dataset(dataset.skip(done).take(1), prefetch=1)))
        raise undecodable(broken["file_name"].numpy().decode()) from error


def _as_numpy(dataset: tf.data.Dataset, at_a_time: int) -> Iterator[dict[str, Any]]:
    """Each element as numpy values, fetched by the batch: one by one they would cost Python ten times as much."""
    for batch in tfds.as_numpy(finalize_dataset(dataset.batch(at_a_time), prefetch=1)):
        for values in zip(*batch.values(), strict=True):
            yield dict(zip(batch, values, strict=True))
