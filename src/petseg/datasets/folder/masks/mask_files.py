"""Read mask files: index masks of any depth, palettes, colors, and 0/255."""

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from petseg.core.geometry import MAX_TILED_PIXELS
from petseg.datasets.folder.classes.labels import (
    MAX_DISTINCT_LABELS,
    MAX_LABEL,
    RawLabels,
    Size,
    color_label,
    count_bytes,
)
from petseg.images.reading import (
    decoding_errors,
    open_image,
    orientation,
    read_bytes,
    upright,
)

_PNG_BIT_DEPTH, _PNG_COLOR_TYPE, _PNG_GRAY = 24, 25, 0  # byte offsets in a PNG file; gray's type
_TURNED = "Masks with an EXIF rotation, turned as a viewer shows them"
_TRANSPARENT = "Masks with transparent pixels, which get label 0"
_BLACK_AND_TRANSPARENT = "Masks with black pixels and transparent ones, whose label is 0 for both"
_16_BITS = re.compile(";16[BLN]")  # in Pillow's names, of each channel; BMP's BGR;16 is of all
_TIFF_BITS = 258  # BitsPerSample


@dataclass(frozen=True)
class MaskFile:
    """An image file whose pixels are labels."""

    path: Path

    def read(self, shown: Size) -> RawLabels:
        with decoding_errors(self.path, "a mask"):
            return decode_mask(read_bytes(self.path), shown)


def decode_mask(data: bytes, shown: Size) -> RawLabels:
    """Decode the labels of a mask whose image a viewer shows in this size.

    Raises ValueError or any exception of Pillow's.

    Gray pixels are numbers, also in files of several channels. Palette pixels are indices, and
    have the palette's colors as well. Of pixels that are half transparent or more, the label is 0,
    unless all pixels are equally transparent; a wholly transparent mask of one color has the
    label 0, too. EXIF data turn a mask unless it has its image's size without them (always in TIFF
    files).
    """
    with open_image(data, max_pixels=MAX_TILED_PIXELS) as image:
        lossy = image.format == "JPEG" or (image.format == "WEBP" and b"VP8 " in data[:4096])
        stretched = _stretched_by(image, data)
        if _16_BITS.search(str(getattr(image, "tile", ""))) and len(image.getbands()) > 1:
            raise ValueError("it has 16-bit colors, of which 8 bits would be lost; save it as gray")
        turns = orientation(image) in range(2, 9)  # TIFF files are turned when they are decoded
        image.load()
        turned = upright(image)
        if image.size == shown != turned.size:
            turned, turns = image, False  # its EXIF data are a copy of the photo's
        labels = _labels(turned, stretched)
        notes = (*labels.notes, _TURNED) if turns else labels.notes
        return replace(labels, lossy=lossy and labels.colors is None, notes=notes)


def _labels(image: Image.Image, stretched: int) -> RawLabels:
    if image.mode == "P":
        return _palette_labels(image)
    if image.mode == "F":
        numbers = np.asarray(image)
        if not np.array_equal(numbers, np.round(numbers)):  # nor if one is NaN
            raise ValueError("its values are fractions; save whole numbers, as an 8-bit PNG")
        return _number_labels(np.clip(numbers, -1, MAX_LABEL + 1).astype(np.int64))
    if len(image.getbands()) > 1:
        return _color_labels(image)
    if image.mode == "1":
        return _number_labels(np.asarray(image).astype(np.uint8))
    if image.mode == "L":
        values = np.asarray(image)
        indices, numbers = _renumber(values, np.flatnonzero(count_bytes(values)))
        return RawLabels(indices, tuple((numbers // stretched).tolist()))
    return _number_labels(np.asarray(image))


def _stretched_by(image: Image.Image, data: bytes) -> int:
    """Return the factor by which Pillow multiplies gray of 2 or 4 bits, so that it fills 0..255."""
    bits = 8
    if image.format == "PNG" and data[_PNG_COLOR_TYPE] == _PNG_GRAY:
        bits = data[_PNG_BIT_DEPTH]
    elif image.format == "TIFF" and image.mode == "L":
        bits = image.tag_v2.get(_TIFF_BITS, (8,))[0]  # type: ignore[attr-defined]
    return {2: 85, 4: 17}.get(bits, 1)


def _number_labels(values: NDArray[np.integer]) -> RawLabels:
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > MAX_LABEL:
        label = low if low < 0 else high
        raise ValueError(f"it contains label {label}, but the most is {MAX_LABEL}")
    indices, numbers = _renumber(values, np.flatnonzero(np.bincount(values.ravel())))
    return RawLabels(indices, tuple(numbers.tolist()))


def _palette_labels(image: Image.Image) -> RawLabels:
    values = np.asarray(image)
    indices, numbers = _renumber(values, np.flatnonzero(count_bytes(values)))
    palette = np.zeros((256, 3), np.uint8)
    stored = np.array(image.getpalette("RGB"), np.uint8).reshape(-1, 3)
    palette[: len(stored)] = stored
    colors = tuple(color_label(*map(int, palette[number])) for number in numbers)
    return RawLabels(indices, tuple(numbers.tolist()), colors)


def _color_labels(image: Image.Image) -> RawLabels:
    image = image.convert("RGBA")
    pixels = np.asarray(image)
    packed = pixels.view("<u4")[..., 0] & 0xFFFFFF  # blue is the highest byte
    alpha = pixels[..., 3]
    used: Any = image.convert("RGB").getcolors(
        MAX_DISTINCT_LABELS
    )  # (count, color); None if there are more
    if used is None:
        raise ValueError(
            f"it has more than {MAX_DISTINCT_LABELS} colors, so it is a photo or blurred"
        )
    colors = np.sort(np.array([r | g << 8 | b << 16 for _, (r, g, b) in used], np.uint32))
    notes: tuple[str, ...] = ()
    if alpha.min() != alpha.max() or (alpha.max() == 0 and len(colors) == 1):
        opaque = np.unique(packed[alpha >= 128])
        if opaque.tolist() == [0]:
            raise ValueError("it is black on transparent; fill one of the two with a color")
        notes = (_BLACK_AND_TRANSPARENT if 0 in opaque else _TRANSPARENT,)
        packed[alpha < 128] = 0
        colors = np.unique(packed)
    indices: NDArray[Any] = np.searchsorted(colors, packed).astype(np.uint16)
    labels = tuple(color_label(c & 255, c >> 8 & 255, c >> 16) for c in colors.tolist())
    few = len(labels) <= 256
    indices = indices.astype(np.uint8) if few else indices
    return RawLabels(indices, labels, notes=notes)


def _renumber(
    values: NDArray[np.integer], present: NDArray[np.integer]
) -> tuple[NDArray[np.unsignedinteger], NDArray[np.integer]]:
    """Replace each value by its position among those present; return both."""
    if len(present) > MAX_DISTINCT_LABELS:
        raise ValueError(
            f"it has {len(present)} different values or colors, so it is a photo or blurred"
        )
    if values.dtype == np.uint8 and len(present) == present[-1] + 1:  # 0, 1, ...: as they are
        return values.astype(np.uint8, copy=False), present
    size = max(256, int(present[-1]) + 1)
    table = np.zeros(size, np.uint16 if len(present) > 256 else np.uint8)
    table[present] = np.arange(len(present))
    if values.dtype == np.uint8:  # a third of the time of indexing
        renumbered = values.tobytes().translate(table.tobytes())
        return np.frombuffer(renumbered, np.uint8).reshape(values.shape), present
    return table[values], present
