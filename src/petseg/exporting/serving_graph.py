"""What TensorFlow Serving runs around the network: photos in, masks at their own size out.

The same steps as `petseg.load`: photos resized with antialiasing to the network's size, and
probabilities resized back to the photo's. A JPEG is turned upright first; the EXIF orientation of
other files isn't read.
"""

from collections.abc import Callable

import tensorflow as tf

from petseg.core.geometry import PADDING_GRAY, Box, ImageSize, Resize, place

# EXIF's tag 0x0112, a short of 1 to 8, in the byte order of Intel or of Motorola.
_ORIENTATION = (
    r"(?s)^\C*?Exif\x00\x00(?:II\*\x00|MM\x00\*)\C*?"
    r"(?:\x12\x01\x03\x00\x01\x00\x00\x00|\x01\x12\x00\x03\x00\x00\x00\x01\x00)([\x01-\x08])\C*$"
)
_HEADER_BYTES = 2**16  # EXIF is one segment of at most this size, near a JPEG's start


class ServingGraph:
    """A network's TensorFlow functions for photos. `predict` maps (B, H, W, 3) to (B, H, W, N)."""

    def __init__(
        self,
        predict: Callable[[tf.Tensor], tf.Tensor],
        size: ImageSize,
        num_classes: int,
        resize: Resize,
    ) -> None:
        self._predict, self._size, self._num_classes = predict, size, num_classes
        self._resize = resize

    def from_images(self, image: tf.Tensor) -> dict[str, tf.Tensor]:
        """Segment photos of one size, (B, h, w, 3) uint8."""
        shape = tf.shape(image)
        probabilities = self._predict(self._fit(image))
        mask = self._mask(probabilities, shape[1], shape[2])[..., 0]
        return {"mask": mask, "probabilities": probabilities}

    def from_bytes(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """Segment photos of any sizes, JPEG, PNG, GIF or BMP files (B,). The masks are PNGs."""

        def read(data: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            photo = _decode(data)
            return self._fit(photo[None])[0], tf.shape(photo)[:2]

        def mask_bytes(values: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
            probabilities, size = values
            return tf.io.encode_png(self._mask(probabilities[None], size[0], size[1])[0])

        fitted = tf.TensorSpec([*self._size, 3], tf.float32)
        images, sizes = tf.map_fn(
            read, image_bytes, fn_output_signature=(fitted, tf.TensorSpec([2], tf.int32))
        )
        probabilities = self._predict(images)
        masks = tf.map_fn(mask_bytes, (probabilities, sizes), fn_output_signature=tf.string)
        return {"mask_bytes": masks, "probabilities": probabilities}

    def _target(self, height: tf.Tensor, width: tf.Tensor) -> Box:
        """Return the part of the network's input that the photo fills."""
        return place(height, width, self._size, self._resize).target

    def _fit(self, image: tf.Tensor) -> tf.Tensor:
        """Resize (B, h, w, 3) to (B, H, W, 3), with gray around it if letterboxed."""
        shape = tf.shape(image)
        target = self._target(shape[1], shape[2])
        pixels = image
        for size in ((shape[1], target.width), (target.height, target.width)):
            pixels = tf.round(tf.image.resize(pixels, size, antialias=True))  # twice, like Pillow
        pixels -= PADDING_GRAY
        return tf.image.pad_to_bounding_box(pixels, target.top, target.left, *self._size) + (
            PADDING_GRAY
        )

    def _mask(self, probabilities: tf.Tensor, height: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
        """Return the most probable class of each pixel of photos, (B, height, width, 1) uint8.

        One class is enlarged after the other, so memory doesn't grow with their number.
        """
        target = self._target(height, width)
        inside = probabilities[:, *target.slices]

        def compare(
            index: tf.Tensor, highest: tf.Tensor, mask: tf.Tensor
        ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            plane = inside[..., index, None]
            plane = tf.image.resize(plane, (height, width), antialias=True)
            mask = tf.where(plane > highest, tf.cast(index, tf.uint8), mask)
            return index + 1, tf.maximum(highest, plane), mask

        shape = tf.stack([tf.shape(probabilities)[0], height, width, 1])
        start = (0, tf.fill(shape, -1.0), tf.zeros(shape, tf.uint8))
        return tf.while_loop(
            lambda index, *_: index < self._num_classes, compare, start, parallel_iterations=1
        )[2]


def _decode(data: tf.Tensor) -> tf.Tensor:
    """Decode a file to an RGB photo (h, w, 3) uint8; a JPEG is turned upright."""
    pixels = tf.cond(
        tf.strings.substr(data, 0, 3) == b"\xff\xd8\xff",
        lambda: tf.io.decode_jpeg(data, channels=3, dct_method="INTEGER_ACCURATE"),  # as Pillow
        lambda: tf.io.decode_image(data, channels=3, expand_animations=False),
    )
    orientation = _orientation(data)
    pixels = tf.cond(orientation >= 5, lambda: tf.transpose(pixels, (1, 0, 2)), lambda: pixels)
    mirrored = tf.reduce_any(orientation == [2, 3, 6, 7])
    upside_down = tf.reduce_any(orientation == [3, 4, 7, 8])
    upright = pixels[:: tf.where(upside_down, -1, 1), :: tf.where(mirrored, -1, 1)]
    return tf.ensure_shape(upright, [None, None, 3])


def _orientation(data: tf.Tensor) -> tf.Tensor:
    """Return a JPEG's EXIF orientation, from 1 (upright) to 8; 1 for other files."""
    header = tf.strings.substr(data, 0, _HEADER_BYTES)
    found = tf.strings.regex_replace(header, _ORIENTATION, r"\1")
    digit = tf.cast(tf.io.decode_raw(tf.strings.substr(found, 0, 1), tf.uint8)[0], tf.int32)
    return tf.where(tf.strings.length(found) == 1, digit, 1)
