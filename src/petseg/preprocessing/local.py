"""Write the shards in this process.

Images are streamed: decoding, checking and resizing run in parallel, writing runs in a fixed order,
and only a few batches are in memory at a time.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import tensorflow as tf
import tensorflow_datasets as tfds
from tqdm import tqdm

from petseg.config.data_params import PreprocessParams
from petseg.core.errors import first_line
from petseg.core.geometry import ImageSize
from petseg.core.process import raise_open_file_limit
from petseg.preprocessing.splits import split_of
from petseg.preprocessing.tiling import count_shard_examples, cut_tiles
from petseg.preprocessing.transform import (
    ImageMetadata,
    check_mask,
    decode_and_resize,
    decode_error,
    make_example,
)
from petseg.preprocessing.writer import FittingStats, SplitWriter, num_shards_by_split
from petseg.raw import DatasetInfo, count_examples, open_split, raw_read_error
from petseg.shards.manifest import SPLITS, Split
from petseg.shards.tf_data import PARALLEL_CALLS, finalize_dataset

_FETCH_BYTES = 2**20
_READ_ERRORS = (tf.errors.DataLossError, tf.errors.NotFoundError, tf.errors.FailedPreconditionError)


def write_shards_locally(
    params: PreprocessParams, seed: int, raw_dir: Path, dataset_info: DatasetInfo, folder: Path
) -> tuple[dict[str, Split], FittingStats]:
    """Write the shards of all splits.

    Return their entries for the manifest, and how images were fitted. Raises PetsegError.
    """
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
                if split is None:
                    next(iter(examples), None)  # an image that is left out must be valid, too
                    continue
                writer = writers[split]
                for decoded in examples:
                    writer.write(make_example(writer.num_examples, split, metadata, decoded))
    entries = {
        split: writer.manifest_entry(dataset_info.class_names) for split, writer in writers.items()
    }
    return entries, sum((writer.fitting for writer in writers.values()), FittingStats())


def read_names(raw_dir: Path, dataset_info: DatasetInfo, split: str) -> Iterator[tuple[str, str]]:
    """Yield file name and category of each example of a split, up to the first damaged one."""
    dataset, info = open_split(raw_dir, dataset_info, split)
    categories = info.features["label"].names
    names = dataset.map(lambda example: (example["file_name"], example["label"]))
    with suppress(tf.errors.OpError):
        for file_name, label in tfds.as_numpy(finalize_dataset(names, prefetch=1)):
            yield file_name.decode(), categories[label]


def fetch_batch_size(image_size: ImageSize) -> int:
    """Return how many decoded images tf.data hands to Python at a time: about 1 MiB worth."""
    return max(1, _FETCH_BYTES // (image_size.num_pixels * 4))  # RGB and label


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
