"""Read images from untrusted files, as a viewer shows them, or say why that fails."""

import hashlib
import io
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from petseg.core.errors import first_line, translate

_FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "TIFF", "GIF")
"""The only Pillow decoders that see untrusted bytes."""

_EXIF_ORIENTATION = 0x0112
_MAX_BYTES = 512 * 2**20  # a BMP at Pillow's limit of 89 million pixels has 270 million bytes
_CAMERA_BITS = (8, 10, 12, 14, 16)
_TIFF_KIND, _TIFF_REDUCED_OR_MASK = 254, 0b101  # NewSubfileType


def read_rgb(path: Path, *, first_frame: bool = False) -> Image.Image:
    """Read an image as a viewer shows it, in RGB.

    Of several frames or pages, read the first if `first_frame`. Raises PetsegError.
    """
    with (
        decoding_errors(path, "an image"),
        open_image(read_bytes(path), first_frame=first_frame) as image,
    ):
        return _load(image)


@dataclass(frozen=True)
class ImageFacts:
    """What an image file is."""

    size: tuple[int, int]  # (width, height) as a viewer shows it
    orientation: int  # EXIF's, from 1 (upright) to 8
    plain_jpeg: bool  # upright, in RGB or gray: usable as it is
    sha256: str


def read_facts(path: Path) -> ImageFacts:
    """Decode an image completely and return what it is. Raises PetsegError."""
    with decoding_errors(path, "an image"):
        data = read_bytes(path)
        with open_image(data) as image:
            plain = image.format == "JPEG" and image.mode in ("RGB", "L")
            plain = plain and orientation(image) == 1
            shown = image if plain else _load(image)
            image.load()
            sha256 = hashlib.sha256(data).hexdigest()
            return ImageFacts(shown.size, 1 if plain else orientation(image), plain, sha256)


def turn_upright(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Turn (H, W) by an EXIF orientation, as a viewer turns the image."""
    image = Image.fromarray(pixels)
    image.getexif()[_EXIF_ORIENTATION] = orientation
    return np.asarray(ImageOps.exif_transpose(image))


def read_image_size(path: Path) -> tuple[int, int, int]:
    """Return (width, height) in the file, before EXIF rotation, and the number of frames or pages.

    Raises PetsegError.
    """
    with (
        decoding_errors(path, "an image"),
        open_image(read_bytes(path), first_frame=True) as image,
    ):
        return *image.size, _count_frames(image)


def upright_rgb(image: Image.Image) -> Image.Image:
    """Convert an image in memory to what a viewer shows, in RGB. Raises PetsegError."""
    with translate(lambda error: f"The image can't be used ({first_line(error)}).", ValueError):
        return _to_rgb(ImageOps.exif_transpose(image))


def orientation(image: Image.Image) -> int:
    """Return an open image's EXIF orientation, from 1 (upright) to 8."""
    return int(image.getexif().get(_EXIF_ORIENTATION, 1))


def read_bytes(path: Path) -> bytes:
    """Read a file of a sensible size. Raises ValueError or OSError."""
    size = path.stat().st_size
    if size > _MAX_BYTES:
        raise ValueError(f"it is {size // 10**6:,} MB, but must be at most {_MAX_BYTES // 10**6}")
    return path.read_bytes()


@contextmanager
def open_image(data: bytes, *, first_frame: bool = False) -> Iterator[Image.Image]:
    """Open an image without decoding it, once its size is known to be safe to decode.

    Raises ValueError or any exception of Pillow's, as decoding may, and if the image has several
    frames or pages, unless `first_frame`.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)  # beyond 89 million pixels
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            frames = 1 if first_frame else _count_frames(image)
            if frames > 1:
                raise ValueError(f"it has {frames} frames, but must be a single image")
            yield image


def decoding_errors(path: Path, kind: str) -> AbstractContextManager[None]:
    """Raise PetsegError for any exception: on broken bytes, Pillow's decoders raise all kinds."""

    def message(error: Exception) -> str:
        if isinstance(error, UnidentifiedImageError):
            reason = "not a JPEG, PNG, BMP, WebP, TIFF or GIF file"
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
    shown = _to_rgb(ImageOps.exif_transpose(image))
    upper_8_bits_only = has_16_bits and len(image.getbands()) > 1
    if upper_8_bits_only and np.asarray(shown).max() < 16:
        raise ValueError(
            "its 16-bit channels hold 12 bits or less, so its upper 8 bits are black; "
            "save it with 8-bit channels"
        )
    return shown


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
    brightest = int(values.max())
    if values.min() < 0 or brightest >= 2**16:
        raise ValueError("its values are not within 0 to 65535; save it with 8-bit channels")
    bits = next(bits for bits in _CAMERA_BITS if brightest < 2**bits)
    return (values >> (bits - 8)).astype(np.uint8)
