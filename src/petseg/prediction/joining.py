"""Join the tiles of an image, as they come from the shards, to one prediction."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from petseg.config.tiles import Tiles
from petseg.core.errors import PetsegError
from petseg.prediction.blending import Blender, Block, enlarge

_MAX_THUMBNAIL_SIDE = 512  # pixels


class JoinedImage:
    """An image whose tiles are added in order.

    Probabilities are held for a few rows at a time; only the mask covers the whole image.
    """

    def __init__(self, first: dict[str, Any], tiles: Tiles, num_classes: int) -> None:
        """`first` are the fields of the image's first tile."""
        self.first = first
        self._grid = tiles.grid(int(first["height"]), int(first["width"]))
        self._windows = iter(self._grid)
        self._blender = Blender(self._grid, num_classes)
        self.predicted = np.empty((self._grid.height, self._grid.width), np.uint8)
        scale = min(1.0, _MAX_THUMBNAIL_SIDE / max(self.predicted.shape))
        shape = [max(1, round(scale * side)) for side in self.predicted.shape]
        self.thumbnail = np.zeros((*shape, 3), np.uint8)
        """The image itself, shrunk for drawing."""

    @property
    def is_done(self) -> bool:
        return self._blender.is_done

    def add(self, fields: Mapping[str, Any], probabilities: NDArray[np.float32]) -> None:
        """Add the next tile and its probabilities (H, W, N). Raises PetsegError if it isn't."""
        position = int(fields["top"]), int(fields["left"])
        if fields["file_name"] != self.first["file_name"] or position != next(self._windows)[:2]:
            raise incomplete(self.first)
        block = self._blender.add(enlarge(probabilities, self._grid.window))
        self.predicted[block.area] = np.argmax(block.probabilities, axis=-1)
        self._draw(block, fields["image"])

    def _draw(self, block: Block, tile: NDArray[np.uint8]) -> None:
        """Shrink a block's part of its tile (H, W, 3) into the thumbnail."""
        area, box, shape = [], [], []
        for part, length, drawn, tile_side, window_side in zip(
            block.area,
            self.predicted.shape,
            self.thumbnail.shape[:2],
            tile.shape[:2],
            self._grid.window,
            strict=True,
        ):
            start, stop = (round(edge * drawn / length) for edge in (part.start, part.stop))
            area.append(slice(start, stop))
            shape.append(stop - start)
            box.append((part.stop - part.start) * tile_side / window_side)
        if min(shape) > 0:
            inside = (0, 0, box[1], box[0])
            shrunk = Image.fromarray(tile).resize(shape[::-1], Image.Resampling.BILINEAR, inside)
            self.thumbnail[tuple(area)] = np.asarray(shrunk)


def incomplete(fields: Mapping[str, Any]) -> PetsegError:
    """Return the error for an image whose tiles aren't all there, in order."""
    return PetsegError(
        f"The tiles of {fields['file_name'].decode()} are incomplete; run dvc checkout --force, "
        "then dvc repro."
    )
