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

from petseg.classes import IGNORE_LABEL, colours_of
from petseg.datasets.source import Source, open_split, read_description, read_source, unreadable
from petseg.errors import PetsegError, first_line
from petseg.files import allow_open_files, whole_folder
from petseg.params import PreprocessParams
from petseg.records.manifest import NO_STORAGE, SPLITS, Manifest, Split, write_manifest
from petseg.records.pictures import Photo, check, make_example, prepare, undecodable
from petseg.records.shards import SplitWriter, shard_counts
from petseg.records.splits import split_of
from petseg.records.storage import upload
from petseg.startup import libraries_kept_quiet
from petseg.streams import PARALLEL_CALLS, as_stream

_FETCHED_BYTES = 2**20
_UNREADABLE = (tf.errors.DataLossError, tf.errors.NotFoundError, tf.errors.FailedPreconditionError)

_ShardsWriter = Callable[[PreprocessParams, int, Path, Source, Path], dict[str, Split]]


def preprocess(params: PreprocessParams, seed: int, raw_dir: Path, out_dir: Path) -> Manifest:
    """Write all shards and, last of all, the manifest. Raises PetsegError on a broken picture or an unknown label."""
    if params.runner == "beam":
        source, write_shards = read_description(raw_dir), _beam_writer()
    else:
        source, write_shards = read_source(raw_dir), _write_shards
    with whole_folder(out_dir) as folder:
        splits = write_shards(params, seed, raw_dir, source, folder)
        for name, split in splits.items():
            if split.examples == 0:
                raise PetsegError(_empty_split(name, params))
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


def fetch_size(image_size: int) -> int:
    """How many prepared pictures go from tf.data to Python at a time: a megabyte, 16 of 128 px, or one."""
    return max(1, _FETCHED_BYTES // (image_size**2 * 4))  # RGB and label


def _beam_writer() -> _ShardsWriter:
    if find_spec("apache_beam") is None:
        raise PetsegError(
            "preprocess.runner is beam, but Apache Beam is not installed; "
            "run pip install -e '.[beam]', or set preprocess.runner to local."
        )
    with libraries_kept_quiet():
        from petseg.records.beam import write_shards
    return write_shards


def _write_shards(params: PreprocessParams, seed: int, raw_dir: Path, source: Source, folder: Path) -> dict[str, Split]:
    """The shards of all splits, and their entries for the manifest."""
    opened = {split: open_split(raw_dir, source, split) for split in ("train", "test")}
    shards = shard_counts(params, *(info.splits[split].num_examples for split, (_, info) in opened.items()))
    allow_open_files(sum(shards.values()))
    with ExitStack() as stack:
        writers = {split: stack.enter_context(SplitWriter(folder, split, shards[split])) for split in SPLITS}
        for tfds_split, (dataset, info) in opened.items():
            for photo, prepared in _pictures(tfds_split, dataset, info, source, params.image_size):
                check(photo, prepared, source)
                split = split_of(tfds_split, photo.file_name, photo.breed, params, seed)
                if split is not None:
                    writers[split].write(make_example(writers[split].examples, split, photo, prepared))
    return {split: writer.summary(source.class_names) for split, writer in writers.items()}


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
    tfds_split: str, dataset: tf.data.Dataset, info: tfds.core.DatasetInfo, source: Source, size: int
) -> Iterator[tuple[Photo, dict[str, Any]]]:
    """Each picture of one of the data set's own splits, prepared, in a fixed order."""
    breeds, species = info.features["label"].names, info.features["species"].names

    def work(raw: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        image, mask = raw["image"], raw["segmentation_mask"]
        return {**raw, **prepare(image, mask, size, source.first_label, len(source.class_names))}

    total = info.splits[tfds_split].num_examples
    for raw in tqdm(
        _naming_broken(dataset, work, size), total=total, desc=f"preprocess {tfds_split}", unit="picture", disable=None
    ):
        photo = Photo(
            file_name=raw["file_name"].decode(),
            breed=breeds[raw["label"]],
            species=species[raw["species"]].lower(),
            encoded_mask=raw["segmentation_mask"],
        )
        yield photo, raw


def _naming_broken(dataset: tf.data.Dataset, work: Callable[[Any], Any], size: int) -> Iterator[dict[str, Any]]:
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
        raise unreadable(first_line(error)) from error
    except tf.errors.InvalidArgumentError as error:
        broken = next(iter(as_stream(dataset.skip(done).take(1), prefetch=1)))
        raise undecodable(broken["file_name"].numpy().decode()) from error


def _as_numpy(dataset: tf.data.Dataset, at_a_time: int) -> Iterator[dict[str, Any]]:
    """Each element as numpy values, fetched by the batch: one by one they would cost Python ten times as much."""
    for batch in tfds.as_numpy(as_stream(dataset.batch(at_a_time), prefetch=1)):
        for values in zip(*batch.values(), strict=True):
            yield dict(zip(batch, values, strict=True))
