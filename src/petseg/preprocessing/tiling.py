"""Cut large images and their masks into tiles of the network's input size.

One image at a time is decoded, and one tile at a time is resized, in either runner.
"""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from numpy.typing import NDArray

from petseg.config.data_params import PreprocessParams
from petseg.config.tiles import Tiles
from petseg.core.errors import PetsegError
from petseg.core.geometry import MAX_TILED_PIXELS, PADDING_GRAY, Box, ImageSize
from petseg.core.labels import IGNORE_LABEL
from petseg.core.windows import Grid, pad_window
from petseg.preprocessing.raw_records import parse_raw_example, read_records
from petseg.preprocessing.transform import (
    ImageMetadata,
    check_mask,
    check_size,
    decode_error,
    labels_known,
    resize_image,
    resize_mask,
)
from petseg.raw import DatasetInfo, count_examples
from petseg.shards.label_map import label_lookup
from petseg.shards.manifest import Split

_PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class LargeImage:
    """A decoded and checked image with its mask, and the windows that cover it."""

    image: NDArray[np.uint8]  # (height, width, 3)
    labels: NDArray[np.uint8]  # (height, width), as in the data set
    grid: Grid


def read_grid(encoded_image: bytes, tiles: Tiles, file_name: str) -> Grid:
    """Return an image's windows from its header alone. Raises PetsegError."""
    try:
        if encoded_image.startswith(_PNG):
            width, height = struct.unpack(">II", encoded_image[16:24])
        else:
            height, width, _ = tf.io.extract_jpeg_shape(encoded_image).numpy().tolist()
    except (struct.error, tf.errors.InvalidArgumentError) as error:
        raise decode_error(file_name) from error
    check_size(file_name, (height, width), MAX_TILED_PIXELS)
    return tiles.grid(height, width)


def count_tiles(encoded_image: bytes, tiles: Tiles) -> int:
    """Return the number of an image's tiles; 1 if it can't be decoded, which comes out later."""
    try:
        return len(read_grid(encoded_image, tiles, ""))
    except PetsegError:
        return 1


def counts_tiles(params: PreprocessParams) -> bool:
    """Whether the number of shards depends on the number of tiles, which all headers give."""
    return params.tiles is not None and not params.shards


def count_shard_examples(
    params: PreprocessParams, raw_dir: Path, dataset_info: DatasetInfo
) -> dict[str, int]:
    """Count each split's images or, if the number of shards depends on it, tiles, by their headers.

    Raises PetsegError.
    """
    if params.tiles is None or not counts_tiles(params):
        return count_examples(raw_dir, dataset_info)
    tiles, directory = params.tiles, raw_dir / dataset_info.directory
    splits = tfds.builder_from_directory(directory).info.splits
    totals = {}
    for split in splits:
        totals[split] = sum(
            count_tiles(parse_raw_example(record).image, tiles)
            for name in splits[split].filenames
            for _, record in read_records(directory / name)
        )
    return totals


def decode_large_image(
    encoded_image: bytes,
    metadata: ImageMetadata,
    params: PreprocessParams,
    dataset_info: DatasetInfo,
) -> LargeImage:
    """Decode and check an image and its mask. Raises PetsegError."""
    assert params.tiles is not None
    grid = read_grid(encoded_image, params.tiles, metadata.file_name)
    options = {"expand_animations": False}
    try:
        with tf.device("/CPU:0"):
            image = tf.io.decode_image(encoded_image, channels=3, **options)
            labels = tf.io.decode_image(metadata.encoded_mask, channels=1, **options)
            is_known = labels_known(labels, dataset_info.first_label, len(dataset_info.class_names))
    except tf.errors.InvalidArgumentError as error:
        raise decode_error(metadata.file_name) from error
    facts = {
        "position": (0, 0),
        "image_shape": tuple(image.shape[:2]),
        "mask_shape": tuple(labels.shape[:2]),
        "labels_known": is_known.numpy(),
    }
    check_mask(metadata, facts, dataset_info)
    return LargeImage(image.numpy(), labels.numpy()[..., 0], grid)


def cut_tile(
    large: LargeImage, window: Box, size: ImageSize, dataset_info: DatasetInfo
) -> dict[str, Any]:
    """Return a tile as `decode_and_resize` returns an image.

    Beyond the image's edges, the tile is gray and its mask IGNORE_LABEL.
    """
    image = pad_window(large.image[window.slices], large.grid.window, PADDING_GRAY)
    num_inside = large.labels[window.slices].size
    labels = pad_window(large.labels[window.slices], large.grid.window, IGNORE_LABEL)
    if large.grid.window != size:
        with tf.device("/CPU:0"):
            image = resize_image(tf.constant(image), size).numpy()
            labels = resize_mask(tf.constant(labels[..., None]), size).numpy()[..., 0]
    lookup = label_lookup(dataset_info.first_label, len(dataset_info.class_names))
    return {
        "image_shape": (large.grid.height, large.grid.width),
        "position": (window.top, window.left),
        "num_cut": 0,
        "num_padding": large.grid.window.num_pixels - num_inside,
        "image": image,
        "mask": lookup.astype(np.uint8)[labels],
    }


def cut_tiles(
    encoded_image: bytes,
    metadata: ImageMetadata,
    params: PreprocessParams,
    dataset_info: DatasetInfo,
) -> Iterator[dict[str, Any]]:
    """Decode and check an image, and yield its tiles row by row. Raises PetsegError."""
    large = decode_large_image(encoded_image, metadata, params, dataset_info)
    for window in large.grid:
        yield cut_tile(large, window, params.image_size, dataset_info)


def describe_tiles(splits: Mapping[str, Split], num_padded: int, tiles: Tiles) -> list[str]:
    """Return what was cut, for the log and the report; `num_padded` counts images."""
    counts = ", ".join(
        f"{split.num_examples} from {split.num_images} images ({name})"
        for name, split in splits.items()
    )
    notes = [
        f"Images are cut into tiles of {tiles.size} x {tiles.size} pixels that overlap by "
        f"{tiles.overlap} or more (preprocess.tiles): {counts}."
    ]
    if num_padded:
        total = sum(split.num_images for split in splits.values())
        notes.append(
            f"{num_padded} of {total} images are smaller than a tile in height or width and "
            "padded; the padding belongs to no class."
        )
    return notes
