"""Pictures and masks from files that may hold anything: decoded as a viewer shows them, or rejected with the reason."""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from petseg.core.errors import PetsegError, first_line

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp"}
_FORMATS = (
    "JPEG",
    "PNG",
    "BMP",
    "WEBP",
)  # told by a file's first bytes; Pillow's other decoders stay shut
_EXIF_ORIENTATION = 0x0112
_MAX_BYTES = 512 * 2**20  # a BMP of as many pixels as are read has 270 million bytes


def read_image(path: Path) -> tuple[io.BytesIO | NDArray[np.uint8], tuple[int, int]]:
    """A picture as a viewer shows it (EXIF orientation respected), and its (width, height).

    A plain JPEG is returned as its own bytes, so that nothing is lost; anything else as an array (H, W, 3) uint8: grey
    and CMYK as RGB, 16 bits as 8, without transparency. Raises PetsegError.
    """
    with _refusing(path, "a picture"):
        return decode_image(_content(path))


def read_rgb(path: Path) -> Image.Image:
    """A picture as a viewer shows it, decoded to RGB. Raises PetsegError."""
    with _refusing(path, "a picture"), _opened(_content(path)) as picture:
        picture.load()
        ImageOps.exif_transpose(picture, in_place=True)
        return _to_rgb(picture)


def read_image_size(path: Path) -> tuple[int, int]:
    """A picture's (width, height) as they stand in its file, before it is turned upright. Raises PetsegError."""
    with _refusing(path, "a picture"), _opened(_content(path)) as picture:
        return picture.size


def upright_rgb(picture: Image.Image) -> Image.Image:
    """A picture in memory as a viewer shows it, in RGB. Raises PetsegError."""
    try:
        return _to_rgb(ImageOps.exif_transpose(picture))
    except ValueError as error:
        raise PetsegError(f"The picture can't be taken ({first_line(error)}).") from error


def read_mask(path: Path) -> NDArray[np.uint8]:
    """A mask (H, W) uint8 of the values in the file; a PNG with a palette gives its indices. Raises PetsegError."""
    with _refusing(path, "a mask"):
        return decode_mask(_content(path))


def decode_image(data: bytes) -> tuple[io.BytesIO | NDArray[np.uint8], tuple[int, int]]:
    """`read_image` of a file's bytes. Raises whatever Pillow does, and ValueError for what it could but we don't."""
    with _opened(data) as picture:
        plain = picture.format == "JPEG" and picture.mode in ("RGB", "L")
        upright = picture.getexif().get(_EXIF_ORIENTATION, 1) == 1
        picture.load()
        if plain and upright:
            return io.BytesIO(data), picture.size
        shown = np.asarray(_to_rgb(ImageOps.exif_transpose(picture)))
        return shown, (shown.shape[1], shown.shape[0])


def decode_mask(data: bytes) -> NDArray[np.uint8]:
    """`read_mask` of a file's bytes; raises like `decode_image`."""
    with _opened(data) as picture:
        if picture.format == "JPEG":
            raise ValueError("it is a JPEG, which blurs labels; save it as PNG")
        if len(picture.getbands()) != 1:
            raise ValueError(
                f"it has {len(picture.getbands())} channels, but a mask holds one label per pixel; save it as a grey "
                "or palette PNG"
            )
        if (
            picture.format == "PNG" and data[25] == 0 and data[24] in (2, 4)
        ):  # color type grey, bits per pixel
            raise ValueError(
                f"its grey has {data[24]} bits, which Pillow stretches to 0..255; save it with 8 bits"
            )
        values = np.asarray(picture)
    if values.max() > 255 or values.min() < 0:
        raise ValueError(f"it holds the label {values.max()}, but labels go from 0 to 255")
    return values.astype(np.uint8)


def _content(path: Path) -> bytes:
    size = path.stat().st_size
    if size > _MAX_BYTES:
        raise ValueError(f"it has {size // 10**6:,} MB, more than any picture that is read")
    return path.read_bytes()


def _to_rgb(picture: Image.Image) -> Image.Image:
    if picture.mode == "I;16":  # Pillow would cut at 255
        return Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8)).convert("RGB")
    if picture.mode in ("I", "F"):
        raise ValueError(
            f"its pixels are of Pillow's mode {picture.mode!r}; save it with 8 bits per channel"
        )
    return picture if picture.mode == "RGB" else picture.convert("RGB")


@contextmanager
def _opened(data: bytes) -> Iterator[Image.Image]:
    """A file's picture, not yet decoded and known to be of a size that can be."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)  # beyond 89 million pixels
        with Image.open(io.BytesIO(data), formats=_FORMATS) as picture:
            frames = getattr(picture, "n_frames", 1)
            if frames > 1 and picture.format != "MPO":  # a phone's MPO begins with the photo
                raise ValueError(f"it has {frames} frames, but must be a single picture")
            yield picture


@contextmanager
def _refusing(path: Path, what: str) -> Iterator[None]:
    try:
        yield
    except UnidentifiedImageError as error:
        raise PetsegError(
            f"{path} can't be read as {what} (it is no JPEG, PNG, BMP or WebP)."
        ) from error
    except (
        Exception
    ) as error:  # Pillow's decoders raise anything on broken bytes, from struct.error to IndexError
        reason = (isinstance(error, OSError) and error.strerror) or first_line(error)
        raise PetsegError(
            f"{path} can't be read as {what} ({reason}); mend it or take it out."
        ) from error
