"""The preprocess stage: write the train, val and test shards of a prepared data set.

Images are streamed: decoding, checking and resizing run in parallel, writing runs in a fixed order,
and only a few batches are in memory at a time. `preprocess.runner` selects this process or Apache
Beam, which writes the same bytes.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any

import tensorflow as tf
import tensorflow_datasets as tfds
from tqdm import tqdm

from petseg.config.params import PreprocessParams
from petseg.core.atomic_io import atomic_directory
from petseg.core.errors import PetsegError, explain_missing, first_line, translate
from petseg.core.geometry import ImageSize
from petseg.core.labels import colors_of
from petseg.core.process import suppress_stderr
from petseg.preprocessing.splits import split_of
from petseg.preprocessing.tiling import count_shard_examples, cut_tiles, describe_tiles
from petseg.preprocessing.transform import (
    ImageMetadata,
    check_mask,
    decode_and_resize,
    decode_error,
    make_example,
)
from petseg.preprocessing.writer import SplitWriter, num_shards_by_split, raise_open_file_limit
from petseg.raw import (
    DatasetInfo,
    count_examples,
    open_split,
    raw_read_error,
    read_dataset_info,
    read_unverified_dataset_info,
)
from petseg.shards.manifest import NO_STORAGE, SPLITS, Manifest, Split, write_manifest
from petseg.shards.storage import upload_shards
from petseg.shards.tf_data import PARALLEL_CALLS, finalize_dataset

_FETCH_BYTES = 2**20
_READ_ERRORS = (tf.errors.DataLossError, tf.errors.NotFoundError, tf.errors.FailedPreconditionError)

_Written = tuple[dict[str, Split], Counter[str]]  # what the manifest says, `SplitStats.fitting`
_WriteShards = Callable[[PreprocessParams, int, Path, DatasetInfo, Path], _Written]


def preprocess(params: PreprocessParams, seed: int, raw_dir: Path, out_dir: Path) -> Manifest:
    """Write all shards and then the manifest.

    Raises PetsegError for a damaged data set, an image that can't be decoded, an invalid mask, an
    empty split, or a class that no training mask contains.
    """
    if params.runner == "beam":
        dataset_info = read_unverified_dataset_info(raw_dir)  # Beam's workers verify the files
        write_shards = _import_beam_writer()
    else:
        dataset_info = read_dataset_info(raw_dir)
        write_shards = _write_shards
    with atomic_directory(out_dir) as folder:
        totals = count_examples(raw_dir, dataset_info)
        splits, fitting = write_shards(params, seed, raw_dir, dataset_info, folder)
        manifest = Manifest(
            dataset=dataset_info.name,
            image_size=params.image_size,
            classes=colors_of(dataset_info.class_names),
            first_label=dataset_info.first_label,
            splits=splits,
            notes=(*dataset_info.notes, *_notes(splits, totals, fitting, params)),
            tiles=params.tiles,
            storage=params.storage,
            resize=params.resize,
        )
        check_splits(manifest, params)
        if manifest.storage != NO_STORAGE:
            shards = [shard for split in splits.values() for shard in split.shards]
            upload_shards({folder / shard.file: shard.sha256 for shard in shards}, manifest.storage)
        write_manifest(manifest, folder)
    for note in manifest.notes[len(dataset_info.notes) :]:
        print(note, flush=True)
    return manifest


def _notes(
    splits: Mapping[str, Split],
    totals: Mapping[str, int],
    fitting: Counter[str],
    params: PreprocessParams,
) -> list[str]:
    """Return what was drawn, left out, cut and padded here.

    `totals` are the data set's own numbers of examples, `fitting` is of `SplitStats`.
    """
    notes = []
    train, val = splits["train"].num_images, splits["val"].num_images
    if "val" not in totals:
        notes.append(
            f"No validation split in the data: {val} of {totals['train']} training images are "
            f"drawn by a hash of their names (preprocess.val_fraction {params.val_fraction})."
        )
    if left_out := totals["train"] - train - (0 if "val" in totals else val):
        notes.append(
            f"{left_out} of {totals['train']} training images are left out "
            f"(preprocess.train_fraction {params.train_fraction})."
        )
    num_images = sum(split.num_images for split in splits.values())
    if params.tiles:
        return [*notes, *describe_tiles(splits, fitting["images"], params.tiles)]
    fitted = f"{fitting['images']} of {num_images} images don't have the network's shape"
    if cut := fitting["cut"]:
        notes.append(
            f"{fitted}: what is beyond their centers, {cut / fitting['original']:.1%} of all "
            f"pixels, is neither trained on nor scored (preprocess.resize {params.resize})."
        )
    if padding := fitting["padding"]:
        share = padding / (num_images * params.image_size.num_pixels)
        notes.append(
            f"{fitted}: they are padded with gray, {share:.1%} of all pixels, which counts as "
            f"ignored (preprocess.resize {params.resize})."
        )
    return notes


def check_splits(manifest: Manifest, params: PreprocessParams) -> None:
    """Raise PetsegError if a split is empty or unlabeled, or if training lacks a class."""
    for name, split in manifest.splits.items():
        if split.num_examples == 0:
            raise PetsegError(_empty_split_message(name, params))
        if sum(split.pixels.values()) == split.pixels["ignored"]:
            raise PetsegError(
                f"No pixel in the masks of the {name} split belongs to a class; label some images."
            )
    pixels = manifest.splits["train"].pixels
    if missing := [repr(name) for name in manifest.class_names if pixels[name] == 0]:
        raise PetsegError(
            f"No mask of the train split contains {' or '.join(missing)} ({pixels['ignored']} of "
            f"{sum(pixels.values())} pixels belong to no class); add images with it, or take it "
            "out of dataset.folder.classes."
        )


def _empty_split_message(split: str, params: PreprocessParams) -> str:
    if split == "test":
        return "The test split is empty; add images to it."
    fractions = f"preprocess.val_fraction {params.val_fraction}"
    if split == "train" and params.train_fraction < 1:
        fractions += f" and preprocess.train_fraction {params.train_fraction}"
    return f"The {split} split is empty with {fractions}; change it or add images."


def fetch_batch_size(image_size: ImageSize) -> int:
    """Return how many decoded images tf.data hands to Python at a time: about 1 MiB worth."""
    return max(1, _FETCH_BYTES // (image_size.num_pixels * 4))  # RGB and label


def _import_beam_writer() -> _WriteShards:
    local = "set preprocess.runner to local"
    explain = partial(
        explain_missing, what="preprocess.runner: beam", extra="beam", alternative=local
    )
    with translate(explain), suppress_stderr():
        from petseg.preprocessing.beam.pipeline import write_shards
    return write_shards


def _write_shards(
    params: PreprocessParams, seed: int, raw_dir: Path, dataset_info: DatasetInfo, folder: Path
) -> _Written:
    """Write the shards of all splits."""
    totals = count_examples(raw_dir, dataset_info)
    opened = {split: open_split(raw_dir, dataset_info, split) for split in totals}
    num_shards = num_shards_by_split(params, count_shard_examples(params, raw_dir, dataset_info))
    raise_open_file_limit(sum(num_shards.values()))
    with ExitStack() as stack:
        writers = {
            split: stack.enter_context(SplitWriter(folder, split, num_shards[split]))
            for split in SPLITS
        }
        for raw_split, (dataset, info) in opened.items():
            images = _decoded_images(dataset, info, dataset_info, params)
            for metadata, examples in tqdm(
                images, f"preprocess {raw_split}", totals[raw_split], unit="image", disable=None
            ):
                split = split_of(
                    raw_split,
                    metadata.file_name,
                    metadata.category,
                    params,
                    seed,
                    has_val="val" in totals,
                    group=dataset_info.group,
                )
                for decoded in examples:
                    if split is None:
                        break
                    writer = writers[split]
                    writer.write(make_example(writer.num_examples, split, metadata, decoded))
    entries = {
        split: writer.manifest_entry(dataset_info.class_names) for split, writer in writers.items()
    }
    return entries, sum((writer.fitting for writer in writers.values()), Counter[str]())


def _decoded_images(
    dataset: tf.data.Dataset,
    info: tfds.core.DatasetInfo,
    dataset_info: DatasetInfo,
    params: PreprocessParams,
) -> Iterator[tuple[ImageMetadata, Iterable[dict[str, Any]]]]:
    """Yield each image's metadata and its example or tiles, decoded and checked, in a fixed order.

    Examples are results of `decode_and_resize`. Tiles are decoded when they are asked for.
    """
    categories = info.features["label"].names
    supercategories = info.features["species"].names
    first_label, num_classes = dataset_info.first_label, len(dataset_info.class_names)

    def decode(raw: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        if params.tiles:
            return raw
        image, mask = raw["image"], raw["segmentation_mask"]
        return {
            **raw,
            **decode_and_resize(
                image, mask, params.image_size, params.resize, first_label, num_classes
            ),
        }

    batch_size = 1 if params.tiles else fetch_batch_size(params.image_size)
    for fields in _map_to_numpy(dataset, decode, batch_size):
        metadata = ImageMetadata(
            file_name=fields["file_name"].decode(),
            category=categories[fields["label"]],
            supercategory=supercategories[fields["species"]].lower(),
            encoded_mask=fields["segmentation_mask"],
        )
        if params.tiles:
            yield metadata, cut_tiles(fields["image"], metadata, params, dataset_info)
        else:
            check_mask(metadata, fields, dataset_info)
            yield metadata, [fields]


def _map_to_numpy(
    dataset: tf.data.Dataset, decode: Callable[[Any], Any], batch_size: int
) -> Iterator[dict[str, Any]]:
    """Yield the decoded examples as numpy values.

    Raises a PetsegError that names the first example that can't be decoded. To find it, examples
    are decoded one by one from the first failing batch on.
    """
    num_done = 0
    with suppress(tf.errors.InvalidArgumentError, *_READ_ERRORS):
        for fields in _as_numpy(dataset.map(decode, PARALLEL_CALLS), batch_size):
            yield fields
            num_done += 1
        return
    try:
        for fields in _as_numpy(dataset.skip(num_done).map(decode, PARALLEL_CALLS), 1):
            yield fields
            num_done += 1
    except _READ_ERRORS as error:
        raise raw_read_error(first_line(error)) from error
    except tf.errors.InvalidArgumentError as error:
        broken = next(iter(finalize_dataset(dataset.skip(num_done).take(1), prefetch=1)))
        raise decode_error(broken["file_name"].numpy().decode()) from error


def _as_numpy(dataset: tf.data.Dataset, batch_size: int) -> Iterator[dict[str, Any]]:
    """Yield each element as numpy values, fetched in batches: ten times as fast as one by one."""
    for batch in tfds.as_numpy(finalize_dataset(dataset.batch(batch_size), prefetch=1)):
        for values in zip(*batch.values(), strict=True):
            yield dict(zip(batch, values, strict=True))
