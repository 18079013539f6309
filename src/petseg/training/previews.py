"""What the network makes of a few validation pictures, drawn after each epoch, for whoever wants to watch it learn."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from petseg.batches import read_batches
from petseg.core.atomic_io import atomic_write
from petseg.core.labels import Color
from petseg.image_encoding import encode_image
from petseg.shards.manifest import ShardSet
from petseg.training.input_pipeline import validation_batches

_AT_ONCE = 8  # pictures, so that previews never take more memory than the training
_IGNORED: Color = (255, 255, 255)


@dataclass
class Previews:
    """How many pictures, the classes' colors, and the folder of epoch_001.png, epoch_002.png ..."""

    pictures: int
    colors: Sequence[Color]
    folder: Path
    _first: tuple[
        NDArray[Any], ...
    ] = ()  # image, mask, real: read once, not the beginning of the shards each time

    def draw(self, network: keras.Model, validation: ShardSet, epoch: int) -> None:
        """A row per picture, the same ones each time: photo, truth, prediction."""
        if not self._first:
            first = next(
                read_batches(validation_batches(validation, self.pictures * validation.num_workers))
            )
            self._first = tuple(each.numpy() for each in first)
        image, mask, real = self._first
        few = np.split(image.astype(np.float32), range(_AT_ONCE, len(image), _AT_ONCE))
        predicted = np.concatenate([np.argmax(network(some, training=False), -1) for some in few])
        palette = np.full((256, 3), _IGNORED, np.uint8)
        palette[: len(self.colors)] = self.colors
        rows = np.concatenate([image, palette[mask], palette[predicted]], axis=2)[
            real
        ]  # (P, S, 3 S, 3)
        grid = Image.fromarray(rows.reshape(-1, *rows.shape[2:]))
        for path in self.folder.glob("epoch_*.png"):
            number = path.stem.removeprefix("epoch_")
            if number.isdecimal() and int(number) > epoch:  # of an earlier training
                path.unlink()
        atomic_write(self.folder / f"epoch_{epoch:03}.png", encode_image(grid))
