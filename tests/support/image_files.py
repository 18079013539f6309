"""The bytes of unusual image files, among them some that Pillow can't write."""

import io
import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

GRAY: NDArray[np.uint8] = np.tile(np.linspace(0, 255, 40, dtype=np.uint8), (40, 1))
COLOR: NDArray[np.uint8] = np.dstack([GRAY, GRAY.T, 255 - GRAY])
"""A gray image (40, 40) and a color image (40, 40, 3)."""


def encode(image: NDArray[Any] | Image.Image, format: str = "PNG", **options: Any) -> bytes:
    """Encode an array or an image with Pillow."""
    content = io.BytesIO()
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    image.save(content, format, **options)
    return content.getvalue()


def png(width: int, height: int, bit_depth: int, color_type: int, rows: bytes) -> bytes:
    """Assemble a PNG from its header and its raw rows, whether they fit each other or not."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + checksum

    header = struct.pack(">IIBBBBB", width, height, bit_depth, color_type, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(kind, data) for kind, data in chunks)


def png_of_size(width: int, height: int) -> bytes:
    """Return a PNG that claims this size and has no pixels."""
    return png(width, height, 8, 2, b"\0" * 100)


def gray_png_with_2_bits() -> bytes:
    return png(40, 40, 2, 0, b"".join(b"\0" + b"\x1b" * 10 for _ in range(40)))


def color_png_with_16_bits(bits: int = 16) -> bytes:
    """Return COLOR with 16 bits per channel, of which the lowest `bits` are used."""
    rows = (COLOR.astype(np.uint16) << (bits - 8)).astype(">u2")
    return png(40, 40, 16, 2, b"".join(b"\0" + row.tobytes() for row in rows))


def palette_png(mask: NDArray[np.uint8]) -> bytes:
    """Encode a mask as indices of a palette whose colors are different numbers."""
    image = Image.fromarray(mask, "P")
    image.putpalette(
        [value for gray in range(256) for value in (gray, 255 - gray if gray else 0, 0)]
    )
    return encode(image)


def animation(format: str) -> bytes:
    frames = [Image.fromarray(np.full((40, 40, 3), shade, np.uint8)) for shade in (0, 100, 200)]
    return encode(frames[0], format, save_all=True, append_images=frames[1:])


def tiff_with_overview() -> bytes:
    """Return a TIFF of COLOR whose second page is a smaller copy, as map tools write them."""
    small = Image.fromarray(COLOR[::2, ::2].copy())
    small.encoderinfo = {"tiffinfo": {254: 1}}
    return encode(COLOR, "TIFF", save_all=True, append_images=[small])


def phone_photo() -> bytes:
    """Return two images in one JPEG, as some phones write them; the first is COLOR."""
    second = Image.fromarray(COLOR[::-1].copy())
    return encode(COLOR, "MPO", save_all=True, append_images=[second])


def exif(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags
