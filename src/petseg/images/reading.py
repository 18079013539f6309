"""Read images from untrusted files, as a viewer shows them, or say why that fails."""

import hashlib
import io
import threading
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from petseg.core.errors import first_line, translate
from petseg.core.geometry import MAX_PIXELS, MAX_TILED_PIXELS

_FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "TIFF", "GIF")
"""The only Pillow decoders that see untrusted bytes."""

_EXIF_ORIENTATION = 0x0112
_MAX_BYTES_PER_PIXEL = 6  # a BMP at the limit has 3
_CAMERA_BITS = (8, 10, 12, 14, 16)
_TIFF_KIND, _TIFF_REDUCED_OR_MASK = 254, 0b101  # NewSubfileType
_TIFF_SAMPLES_PER_PIXEL = 277
_BAND_ROWS = 256


def read_rgb(path: Path, *, first_frame: bool = False, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Read an image as a viewer shows it, in RGB.

    Of several frames or pages, read the first if `first_frame`. Raises PetsegError.
    """
    with (
        decoding_errors(path, "an image"),
        _open_file(path, max_pixels) as file,
        open_image(file, first_frame=first_frame, max_pixels=max_pixels) as image,
    ):
        return _load(image)


@dataclass(frozen=True)
class ImageFacts:
    """What an image file is."""

    size: tuple[int, int]  # (width, height) as a viewer shows it
    orientation: int  # EXIF's, from 1 (upright) to 8
    plain_jpeg: bool  # upright, in RGB or gray: usable as it is
    fingerprint: str  # of the size and colors that a viewer shows
    gray_bits: int | None = None  # of 16-bit gray: the bits that are scaled to 8
    has_extra_channel: bool = False  # with transparency or infrared, which isn't used


def read_facts(path: Path) -> ImageFacts:
    """Decode an image completely and return what it is. Raises PetsegError."""
    with (
        decoding_errors(path, "an image"),
        open_image(read_bytes(path), max_pixels=MAX_TILED_PIXELS) as image,
    ):
        plain = image.format == "JPEG" and image.mode in ("RGB", "L")
        plain = plain and orientation(image) == 1
        shown = image if plain else _load(image)
        image.load()
        return ImageFacts(
            shown.size,
            orientation=1 if plain else orientation(image),
            plain_jpeg=plain,
            fingerprint=_fingerprint(shown),
            gray_bits=_gray_bits(np.asarray(image)) if image.mode.startswith("I") else None,
            has_extra_channel=_has_extra_channel(image),
        )


def _fingerprint(image: Image.Image) -> str:
    """Return the sha256 of the size and the colors, by bands of rows to save memory."""
    digest = hashlib.sha256(repr(image.size).encode())
    for top in range(0, image.height, _BAND_ROWS):
        rows = image.crop((0, top, image.width, min(top + _BAND_ROWS, image.height)))
        digest.update(rows.convert("RGB").tobytes())
    return digest.hexdigest()


def _has_extra_channel(image: Image.Image) -> bool:
    """Whether a channel besides the colors is there, and isn't wholly opaque."""
    if image.format == "TIFF" and image.mode == "RGB":
        samples: int = image.tag_v2.get(_TIFF_SAMPLES_PER_PIXEL, 3)  # type: ignore[attr-defined]
        return samples > len(image.mode)
    if not image.has_transparency_data:
        return False
    alpha = image if image.mode in ("RGBA", "LA") else image.convert("RGBA")
    return bool(np.min(alpha.getchannel("A").getextrema()) < 255)


def turn_upright(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Turn (H, W) by an EXIF orientation, as a viewer turns the image."""
    image = Image.fromarray(pixels)
    image.getexif()[_EXIF_ORIENTATION] = orientation
    return np.asarray(ImageOps.exif_transpose(image))


def read_image_size(path: Path, max_pixels: int = MAX_PIXELS) -> tuple[int, int, int]:
    """Return (width, height) in the file, before EXIF rotation, and the number of frames or pages.

    Raises PetsegError.
    """
    with (
        decoding_errors(path, "an image"),
        _open_file(path, max_pixels) as file,
        open_image(file, first_frame=True, max_pixels=max_pixels) as image,
    ):
        return *image.size, _count_frames(image)


def upright_rgb(image: Image.Image) -> Image.Image:
    """Convert a Pillow image to what a viewer shows, in RGB. Raises PetsegError."""
    with translate(lambda error: f"The image can't be used ({first_line(error)})."):
        if 0 in image.size:
            raise ValueError("it has no pixels")
        image.load()  # `Image.open` only reads the header, so a damaged file is noticed here
        return _to_rgb(upright(image))


def orientation(image: Image.Image) -> int:
    """Return an open image's EXIF orientation, from 1 (upright) to 8."""
    return int(image.getexif().get(_EXIF_ORIENTATION, 1))


def read_bytes(path: Path) -> bytes:
    """Read a file of a sensible size. Raises ValueError or OSError."""
    with _open_file(path, MAX_TILED_PIXELS) as file:
        return file.read()


def _open_file(path: Path, max_pixels: int) -> BinaryIO:
    """Open a file of a sensible size. Raises ValueError or OSError."""
    size, limit = path.stat().st_size, max_pixels * _MAX_BYTES_PER_PIXEL
    if size > limit:
        raise ValueError(f"it is {size // 10**6:,} MB, but must be at most {limit // 10**6:,}")
    return path.open("rb")


@contextmanager
def open_image(
    file: BinaryIO | bytes, *, first_frame: bool = False, max_pixels: int = MAX_PIXELS
) -> Iterator[Image.Image]:
    """Open an image without decoding it, once its size is known to be safe to decode.

    Raises ValueError or any exception of Pillow's, as decoding may, and if the image has several
    frames or pages, unless `first_frame`.
    """
    stream = io.BytesIO(file) if isinstance(file, bytes) else file
    with warnings.catch_warnings(), _without_pillows_limit:
        warnings.simplefilter("ignore")
        with Image.open(stream, formats=_FORMATS) as image:
            pixels = image.width * image.height
            if pixels > max_pixels:
                raise ValueError(
                    f"it has {pixels / 1e6:,.1f} megapixels, but must have at most "
                    f"{max_pixels // 10**6}"
                )
            frames = 1 if first_frame else _count_frames(image)
            if frames > 1:
                raise ValueError(f"it has {frames} frames, but must be a single image")
            yield image


class _WithoutPillowsLimit:
    """Turn off Pillow's own limit while images are open; `open_image` has one for each call.

    Pillow's is global, and TIFFs check it again when a page is sought or decoded.
    """

    def __init__(self) -> None:
        self._lock, self._num_open = threading.Lock(), 0
        self._limit: int | None = None

    def __enter__(self) -> None:
        with self._lock:
            if self._num_open == 0:
                self._limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
            self._num_open += 1

    def __exit__(self, *exception: object) -> None:
        with self._lock:
            self._num_open -= 1
            if self._num_open == 0:
                Image.MAX_IMAGE_PIXELS = self._limit


_without_pillows_limit = _WithoutPillowsLimit()


def decoding_errors(path: Path, kind: str) -> AbstractContextManager[None]:
    """Raise PetsegError for any exception: on broken bytes, Pillow's decoders raise all kinds."""

    def message(error: Exception) -> str:
        if isinstance(error, UnidentifiedImageError):
            reason = "not a JPEG, PNG, BMP, WebP, TIFF or GIF file that Pillow can read"
        else:
            reason = (isinstance(error, OSError) and error.strerror) or first_line(error)
        return f"{path} can't be read as {kind} ({reason}); fix or remove it."

    return translate(message)


def _count_frames(image: Image.Image) -> int:
    """Count frames or pages, without those that only repeat another: previews in MPOs and TIFFs."""
    frames = getattr(image, "n_frames", 1)
    if image.format == "MPO":
        return 1
    if image.format != "TIFF" or frames == 1:
        return int(frames)
    kinds = []
    for frame in range(frames):
        image.seek(frame)
        kinds.append(image.tag_v2.get(_TIFF_KIND, 0))  # type: ignore[attr-defined]
    image.seek(0)
    return 1 + sum(not kind & _TIFF_REDUCED_OR_MASK for kind in kinds[1:])


def _load(image: Image.Image) -> Image.Image:
    """Decode an open image, turn it upright and convert it to RGB.

    Nothing may have loaded it yet, not even a look at a PNG's EXIF data: the tiles would be gone.
    """
    has_16_bits = any(";16" in str(tile) for tile in getattr(image, "tile", ()))
    image.load()
    shown = _to_rgb(upright(image))
    upper_8_bits_only = has_16_bits and len(image.getbands()) > 1
    if upper_8_bits_only and np.max(shown.getextrema()) < 64:
        raise ValueError(
            "its brightest 16-bit value is below 16384, so its upper 8 bits are nearly black; "
            "rescale it and save it with 8-bit channels"
        )
    return shown


def upright(image: Image.Image) -> Image.Image:
    """Turn an image as a viewer shows it. An upright one isn't copied: it may be large."""
    return image if orientation(image) == 1 else ImageOps.exif_transpose(image)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers; save it with 8-bit channels")
    if image.mode.startswith("I"):  # Pillow would clip at 255
        return Image.fromarray(_to_8_bits(np.asarray(image))).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _to_8_bits(values: NDArray[np.integer]) -> NDArray[np.uint8]:
    """Keep the upper 8 bits of 8, 10, 12, 14 or 16: as few as the brightest pixel fits into.

    Cameras store 12 bits in 16-bit files, which would be nearly black if 16 were assumed.
    """
    return (values >> (_gray_bits(values) - 8)).astype(np.uint8)


def _gray_bits(values: NDArray[np.integer]) -> int:
    brightest = int(values.max())
    if values.min() < 0 or brightest >= 2**16:
        raise ValueError("its values are not within 0 to 65535; save it with 8-bit channels")
    return next(bits for bits in _CAMERA_BITS if brightest < 2**bits)
