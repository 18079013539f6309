"""Read, decode and check single examples of data/raw: images, or tiles of large ones."""

import functools
from typing import Any, BinaryIO

import tensorflow as tf

from petseg.core.geometry import ImageSize, Resize
from petseg.preprocessing.beam.job import JobConfig
from petseg.preprocessing.raw_records import RawExample, parse_raw_example, read_record_at
from petseg.preprocessing.tiling import LargeImage, cut_tile, decode_large_image
from petseg.preprocessing.transform import (
    ImageMetadata,
    check_mask,
    decode_and_resize,
    decode_error,
)


class ExampleReader:
    """Read the examples in an open file of data/raw. A large image is decoded once."""

    def __init__(self, file: BinaryIO, job: JobConfig) -> None:
        self._file, self._job = file, job
        self._large: tuple[int, ImageMetadata, LargeImage] | None = None

    def read(self, offset: int, checksum: int, tile: int) -> tuple[ImageMetadata, dict[str, Any]]:
        """Decode and check an image, or one of its tiles. Raises PetsegError."""
        job = self._job
        if not job.params.tiles:
            raw = parse_raw_example(read_record_at(self._file, offset, checksum))
            return _decode(raw, job)
        if self._large is None or self._large[0] != offset:
            self._large = None  # frees its memory
            raw = parse_raw_example(read_record_at(self._file, offset, checksum))
            metadata = _metadata(raw, job)
            large = decode_large_image(raw.image, metadata, job.params, job.dataset_info)
            self._large = offset, metadata, large
        _, metadata, large = self._large
        return metadata, cut_tile(large, large.grid[tile], job.params.image_size, job.dataset_info)


def _metadata(raw: RawExample, job: JobConfig) -> ImageMetadata:
    return ImageMetadata(
        file_name=raw.file_name,
        category=job.categories[raw.label],
        supercategory=job.supercategories[raw.supercategory],
        encoded_mask=raw.mask,
    )


def _decode(raw: RawExample, job: JobConfig) -> tuple[ImageMetadata, dict[str, Any]]:
    """Decode, resize and check an image. Raises PetsegError."""
    dataset_info = job.dataset_info
    decode = _compile_decode(
        job.params.image_size,
        job.params.resize,
        dataset_info.first_label,
        len(dataset_info.class_names),
    )
    try:
        tensors = decode(tf.constant(raw.image), tf.constant(raw.mask))
    except tf.errors.InvalidArgumentError as error:
        raise decode_error(raw.file_name) from error
    decoded = {key: value.numpy() for key, value in tensors.items()}
    metadata = _metadata(raw, job)
    check_mask(metadata, decoded, dataset_info)
    return metadata, decoded


@functools.cache
def _compile_decode(size: ImageSize, resize: Resize, first_label: int, num_classes: int) -> Any:
    text = tf.TensorSpec((), tf.string)

    @tf.function(input_signature=[text, text], autograph=False)
    def decode(image: tf.Tensor, mask: tf.Tensor) -> dict[str, tf.Tensor]:
        with tf.device("/CPU:0"):  # where tf.data runs too, so that the bytes are the same
            return decode_and_resize(image, mask, size, resize, first_label, num_classes)

    return decode.get_concrete_function()  # saves a tenth of the time per image
