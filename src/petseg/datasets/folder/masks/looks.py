"""Tell masks from photos by the pixels of a few files."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from petseg.core.errors import PetsegError
from petseg.core.geometry import MAX_TILED_PIXELS
from petseg.datasets.folder.listing.files import FoundFile
from petseg.images.reading import decoding_errors, open_image, read_bytes

_SAMPLES = 5
_MAX_COLORS = 64  # of all masks in a sample; a photo has more
_FEW_COLORS = 16  # of a mask that isn't flat
_MIN_FLATNESS = 0.8  # of a mask; of 120 cells it is 0.84, of photos with 32 shades of gray 0.44
_SIDE = 256  # of the grid of pixels whose colors are counted

_Item = TypeVar("_Item")


@dataclass(frozen=True)
class _Look:
    sides: tuple[int, ...]  # the shorter one first
    colors: frozenset[bytes]  # of a grid of the pixels
    flatness: float  # the share of neighbors that are equal


def look_like_masks(files: Sequence[FoundFile]) -> bool:
    """Whether most files of a sample have a few colors or large areas of one, as masks have.

    Files that can't be read don't count.
    """
    looks = [look for file in _sample(files) if (look := _look(file.path))]
    fitting = [x for x in looks if len(x.colors) <= _FEW_COLORS or x.flatness >= _MIN_FLATNESS]
    return len(fitting) >= len(looks) / 2


def look_like_pairs(pairs: Sequence[tuple[FoundFile, FoundFile]]) -> bool:
    """Whether the readable ones of a sample of pairs are a photo and a mask of its size."""
    looks = [(_look(image.path), _look(mask.path)) for image, mask in _sample(pairs)]
    known = [(photo, mask) for photo, mask in looks if photo and mask]
    colors = frozenset[bytes]().union(*(mask.colors for _, mask in known))
    photos = sum(len(photo.colors) > _MAX_COLORS for photo, _ in known)
    return (
        photos > len(known) / 2
        and len(colors) <= _MAX_COLORS
        and all(mask.flatness >= max(photo.flatness, _MIN_FLATNESS) for photo, mask in known)
        and all(photo.sides == mask.sides for photo, mask in known)
    )


def _sample(items: Sequence[_Item]) -> Sequence[_Item]:
    return items[:: max(1, -(-len(items) // _SAMPLES))]


def _look(path: Path) -> _Look | None:
    """Return what the pixels of a file are like; nothing if it can't be read."""
    try:
        with (
            decoding_errors(path, "an image"),
            open_image(read_bytes(path), max_pixels=MAX_TILED_PIXELS) as image,
        ):
            pixels = np.asarray(image)
    except PetsegError:
        return None
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    height, width = pixels.shape[:2]
    grid = pixels[:: -(-height // _SIDE), :: -(-width // _SIDE)]
    colors = np.unique(grid.reshape(-1, grid.shape[2]), axis=0)
    below = _share_of_equal(pixels[1:], pixels[:-1])
    beside = _share_of_equal(pixels[:, 1:], pixels[:, :-1])
    return _Look(
        tuple(sorted((height, width))),
        frozenset(color.tobytes() for color in colors),
        (below + beside) / 2,
    )


def _share_of_equal(pixels: NDArray[np.generic], neighbors: NDArray[np.generic]) -> float:
    """Return the share of equal pixels (y, x, channel); 1 if there are none."""
    return float((pixels == neighbors).all(axis=2).mean()) if pixels.size else 1.0
