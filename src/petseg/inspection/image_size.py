"""Propose `preprocess.image_size`, and `preprocess.tiles` for large images.

256 px; more if that keeps objects visible, up to 512 px; never more than the images have.
"Visible" means that nine of ten objects have at least the area of 16 x 16 pixels, half of the
encoder's stride. An object is all pixels of one class in one image, except the background. "What
the images have" is the side of a square with as many pixels as the median image.

If the images share a shape that is clearly not square, the proposal is a rectangle of that shape
with the same number of pixels, as nearly as multiples of 32 up to 2048 allow.

Images are tiled if they have a megapixel or more and the parts of their objects would not be 16
pixels wide at 512 px, or if one is too large to be read as a whole. A tile shows as much of the
image as leaves parts 16 pixels wide at 256 px. The width of parts is that of a class in an image,
since many small objects may be one class: the mean length of runs of its pixels in rows or columns.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product, starmap

from petseg.config.tiles import Tiles
from petseg.core.geometry import MAX_PIXELS, ImageSize
from petseg.datasets.folder.classes.labels import Size

_MULTIPLE = 32
_DEFAULT_SIDE, _MAX_PROPOSED_SIDE = 256, 512
_MAX_SIDE = 2048  # that preprocess.image_size allows
_OBJECT_SIDE = 16  # pixels
LARGE_PIXELS = 10**6  # of images whose parts are measured
_MAX_TILE = 2048
_SMALL = 0.1  # quantile of the objects' areas
_NOT_SQUARE = 1.2  # ratio of the longer to the shorter side from which an image isn't square
_SAME_SHAPE = 1.05  # factor by which ratios of images of the same shape may differ
_MIN_SHARE_OF_SHAPE = 0.9  # share of the images that must have the same shape


@dataclass(frozen=True)
class ProposedSize:
    """Values for `preprocess.image_size` and `preprocess.tiles`, and the reason for them."""

    value: ImageSize
    reason: str
    tiles: Tiles | None = None


def propose_image_size(
    sizes: Sequence[Size], objects: Sequence[float], parts: Sequence[tuple[float, float]] = ()
) -> ProposedSize | None:
    """Propose a size by the rule above. None without images.

    `objects` are the areas of objects, each as a fraction of its image. `parts` are those in
    images of `LARGE_PIXELS` or more: the width in pixels, and the side of a square with as many
    pixels as the image.
    """
    if not sizes:
        return None
    sides = sorted(math.sqrt(width * height) for width, height in sizes)
    median = sides[len(sides) // 2]
    native = max(_MULTIPLE, round(median / _MULTIPLE) * _MULTIPLE)
    small = math.sqrt(sorted(objects)[int(_SMALL * len(objects))]) if objects else 1.0
    needed = math.ceil(_OBJECT_SIDE / small / _MULTIPLE) * _MULTIPLE
    width, image_side = _small_part(parts) if parts else (median, median)
    is_large = median**2 >= LARGE_PIXELS
    if sides[-1] ** 2 > MAX_PIXELS or (
        is_large and width * _MAX_PROPOSED_SIDE < _OBJECT_SIDE * image_side
    ):
        return _propose_tiles(width, image_side)
    square = min(native, _MAX_PROPOSED_SIDE, max(_DEFAULT_SIDE, needed))
    side = round(square * small)
    if square == native:
        reason = "about what the images have"
    elif square == _MAX_PROPOSED_SIDE and needed > _MAX_PROPOSED_SIDE:
        reason = f"the most proposed; the smallest tenth of objects is below {side} x {side} px"
    elif needed > _DEFAULT_SIDE:
        reason = f"so that nine of ten objects cover at least {side} x {side} px"
    else:
        reason = f"nine of ten objects cover at least {side} x {side} px"
    return ProposedSize(_in_shape(square, _shared_ratio(sizes)), reason)


def _small_part(parts: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Return the part that nine of ten are wider than, relative to their images."""
    return sorted(parts, key=lambda part: part[0] / part[1])[int(_SMALL * len(parts))]


def _propose_tiles(width: float, image_side: float) -> ProposedSize:
    """Propose tiles in which parts that are a number of pixels wide are visible."""
    side = min(_DEFAULT_SIDE * width / _OBJECT_SIDE, _MAX_TILE, image_side)
    side = max(_DEFAULT_SIDE, int(side) // _MULTIPLE * _MULTIPLE)
    if width * _MAX_PROPOSED_SIDE < _OBJECT_SIDE * image_side:
        resized, in_tiles = width * _MAX_PROPOSED_SIDE / image_side, width * _DEFAULT_SIDE / side
        reason = (
            f"objects have parts {width:.0f} px wide: {resized:.1f} at {_MAX_PROPOSED_SIDE} px, "
            f"{in_tiles:.0f} in these tiles"
        )
    else:
        reason = f"an image has more than {MAX_PIXELS // 10**6} megapixels"
    size = ImageSize(_DEFAULT_SIDE, _DEFAULT_SIDE)
    return ProposedSize(size, reason, Tiles(size=side, overlap=side // 8))


def _shared_ratio(sizes: Sequence[Size]) -> float:
    """Return the ratio of width to height that most images have, or 1 if it is nearly square."""
    ratios = sorted(width / height for width, height in sizes)
    median = ratios[len(ratios) // 2]
    similar = sum(max(ratio / median, median / ratio) <= _SAME_SHAPE for ratio in ratios)
    is_shared = (
        similar >= _MIN_SHARE_OF_SHAPE * len(ratios) and max(median, 1 / median) >= _NOT_SQUARE
    )
    return median if is_shared else 1.0


def _in_shape(square: int, ratio: float) -> ImageSize:
    """Return the size nearest to a ratio of width to height and to a square's number of pixels."""
    exact = (square / math.sqrt(ratio), square * math.sqrt(ratio))
    heights, widths = (
        sorted(
            {
                min(max(1, rounded(side / _MULTIPLE)) * _MULTIPLE, _MAX_SIDE)
                for rounded in (math.floor, math.ceil)
            }
        )
        for side in exact
    )

    def distance(size: ImageSize) -> float:
        distortion = abs(math.log(size.width / size.height / ratio))
        return distortion + 0.5 * abs(math.log(size.num_pixels / square**2))

    return min(starmap(ImageSize, product(heights, widths)), key=distance)
