"""Propose `preprocess.image_size`.

256 px; more if that keeps objects visible, up to 512 px; never more than the images have.
"Visible" means that nine of ten objects have at least the area of 16 x 16 pixels, half of the
encoder's stride. An object is all pixels of one class in one image, except the background. "What
the images have" is the side of a square with as many pixels as the median image.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from petseg.datasets.folder.labels import Size

_MULTIPLE = 32
_USUAL, _LARGEST = 256, 512
_OBJECT_SIDE = 16  # pixels
_SMALL = 0.1  # quantile of the objects' areas


@dataclass(frozen=True)
class ProposedSize:
    """A value for `preprocess.image_size`, in pixels, and the reason for it."""

    value: int
    reason: str


def propose_image_size(sizes: Sequence[Size], objects: Sequence[float]) -> ProposedSize | None:
    """Propose a size by the rule above. None without images.

    `objects` are the areas of objects, each as a fraction of its image.
    """
    if not sizes:
        return None
    sides = sorted(math.sqrt(width * height) for width, height in sizes)
    native = max(_MULTIPLE, round(sides[len(sides) // 2] / _MULTIPLE) * _MULTIPLE)
    small = math.sqrt(sorted(objects)[int(_SMALL * len(objects))]) if objects else 1.0
    needed = math.ceil(_OBJECT_SIDE / small / _MULTIPLE) * _MULTIPLE
    value = min(native, _LARGEST, max(_USUAL, needed))
    side = round(value * small)
    if value == native:
        reason = "about what the images have"
    elif value == _LARGEST and needed > _LARGEST:
        reason = f"the most proposed; the smallest tenth of objects is below {side} x {side} px"
    elif needed > _USUAL:
        reason = f"so that nine of ten objects cover at least {side} x {side} px"
    else:
        reason = f"nine of ten objects cover at least {side} x {side} px"
    return ProposedSize(value, reason)
