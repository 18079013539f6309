"""Read images and masks from untrusted files, as a viewer shows them, or say why that fails."""

import io
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from petseg.core.errors import first_line, translate

IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp"}
_FORMATS = ("JPEG", "PNG", "BMP", "WEBP")  # the only Pillow decoders that see untrusted bytes
_EXIF_ORIENTATION = 0x0112
_MAX_BYTES = 512 * 2**20  # a BMP at Pillow's limit of 89 million pixels has 270 million bytes
_PNG_BIT_DEPTH, _PNG_COLOR_TYPE, _PNG_GRAY = 24, 25, 0  # byte offsets in a PNG file; gray's type


def read_image(path: Path) -> tuple[io.BytesIO | NDArray[np.uint8], tuple[int, int]]:
    """Read an image as a viewer shows it (EXIF orientation applied). Return it and (width, height).

    A plain JPEG is returned as its original bytes; anything else as an array (H, W, 3) uint8: gray
    and CMYK become RGB, 16 bits become 8, and transparency is dropped. Raises PetsegError.
    """
    with _translate_decoding_errors(path, "an image"):
        return decode_image(_read_bytes(path))


def read_rgb(path: Path) -> Image.Image:
    """Read an image as a viewer shows it, in RGB. Raises PetsegError."""
    with _translate_decoding_errors(path, "an image"), _open(_read_bytes(path)) as image:
        image.load()
        ImageOps.exif_transpose(image, in_place=True)
        return _to_rgb(image)


def read_image_size(path: Path) -> tuple[int, int]:
    """Return the (width, height) in the file, before EXIF rotation. Raises PetsegError."""
    with _translate_decoding_errors(path, "an image"), _open(_read_bytes(path)) as image:
        return image.size


def upright_rgb(image: Image.Image) -> Image.Image:
    """Convert an image in memory to what a viewer shows, in RGB. Raises PetsegError."""
    with translate(lambda error: f"The image can't be used ({first_line(error)}).", ValueError):
        return _to_rgb(ImageOps.exif_transpose(image))


def read_mask(path: Path) -> NDArray[np.uint8]:
    """Read a mask (H, W) uint8; a palette PNG gives its indices. Raises PetsegError."""
    with _translate_decoding_errors(path, "a mask"):
        return decode_mask(_read_bytes(path))


def decode_image(data: bytes) -> tuple[io.BytesIO | NDArray[np.uint8], tuple[int, int]]:
    """Decode bytes as `read_image` does. Raises ValueError or any exception of Pillow's."""
    with _open(data) as image:
        plain = image.format == "JPEG" and image.mode in ("RGB", "L")
        upright = image.getexif().get(_EXIF_ORIENTATION, 1) == 1
        image.load()
        if plain and upright:
            return io.BytesIO(data), image.size
        shown = np.asarray(_to_rgb(ImageOps.exif_transpose(image)))
        return shown, (shown.shape[1], shown.shape[0])


def decode_mask(data: bytes) -> NDArray[np.uint8]:
    """Decode bytes as `read_mask` does. Raises the same errors as `decode_image`."""
    with _open(data) as image:
        if image.format == "JPEG":
            raise ValueError("JPEG blurs labels; save it as PNG")
        if len(image.getbands()) != 1:
            raise ValueError(
                f"it has {len(image.getbands())} channels, but a mask has one label per pixel; "
                "save it as a gray or palette PNG"
            )
        gray_png = image.format == "PNG" and data[_PNG_COLOR_TYPE] == _PNG_GRAY
        if gray_png and data[_PNG_BIT_DEPTH] in (2, 4):
            raise ValueError(
                f"it has {data[_PNG_BIT_DEPTH]}-bit gray, which Pillow stretches to 0..255; "
                "save it with 8 bits"
            )
        values = np.asarray(image)
    if values.max() > 255 or values.min() < 0:
        raise ValueError(f"it contains label {values.max()}, but labels must be from 0 to 255")
    return values.astype(np.uint8)


def _read_bytes(path: Path) -> bytes:
    size = path.stat().st_size
    if size > _MAX_BYTES:
        raise ValueError(f"it is {size // 10**6:,} MB, but must be at most {_MAX_BYTES // 10**6}")
    return path.read_bytes()


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "I;16":  # Pillow would clip at 255
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        raise ValueError(
            f"its pixels have Pillow's mode {image.mode!r}; save it with 8-bit channels"
        )
    return image if image.mode == "RGB" else image.convert("RGB")


@contextmanager
def _open(data: bytes) -> Iterator[Image.Image]:
    """Open an image without decoding it, once its size is known to be safe to decode."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)  # beyond 89 million pixels
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            frames = getattr(image, "n_frames", 1)
            if frames > 1 and image.format != "MPO":  # a phone's MPO starts with the photo
                raise ValueError(f"it has {frames} frames, but must be a single image")
            yield image


def _translate_decoding_errors(path: Path, kind: str) -> AbstractContextManager[None]:
    """Raise PetsegError for any exception: on broken bytes, Pillow's decoders raise all kinds."""

    def message(error: Exception) -> str:
        if isinstance(error, UnidentifiedImageError):
            reason = "not a JPEG, PNG, BMP or WebP file"
        else:
            reason = (isinstance(error, OSError) and error.strerror) or first_line(error)
        return f"{path} can't be read as {kind} ({reason}); fix or remove it."

    return translate(message)
