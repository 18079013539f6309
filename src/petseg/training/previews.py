"""Predictions for a few validation images, drawn after each epoch, to watch the network learn."""

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

_BATCH_SIZE = 8  # small, so that previews never need more memory than training
_IGNORED_COLOR: Color = (255, 255, 255)


@dataclass
class Previews:
    """Draws epoch_001.png, epoch_002.png ... into a folder."""

    num_images: int
    colors: Sequence[Color]  # of the classes
    folder: Path
    _examples: tuple[NDArray[Any], NDArray[Any]] | None = None  # image, mask: read only once

    def draw(self, network: keras.Model, validation: ShardSet, epoch: int) -> None:
        """Draw one row per image, the same images each time: image, truth, prediction."""
        self._examples = self._examples or self._read(validation)
        image, mask = self._examples
        batches = np.split(image.astype(np.float32), range(_BATCH_SIZE, len(image), _BATCH_SIZE))
        predicted = [np.argmax(network(batch, training=False), axis=-1) for batch in batches]
        palette = np.full((256, 3), _IGNORED_COLOR, np.uint8)
        palette[: len(self.colors)] = self.colors
        columns = [image, palette[mask], palette[np.concatenate(predicted)]]
        rows = np.concatenate(columns, axis=2)  # (I, H, 3 W, 3)
        self._remove_later_epochs(epoch)
        grid = Image.fromarray(rows.reshape(-1, *rows.shape[2:]))
        atomic_write(self.path(epoch), encode_image(grid))

    def path(self, epoch: int) -> Path:
        """Return the file that shows this epoch."""
        return self.folder / f"epoch_{epoch:03}.png"

    def _read(self, validation: ShardSet) -> tuple[NDArray[Any], NDArray[Any]]:
        """Read the worker's first images (I, H, W, 3) and masks (I, H, W)."""
        batches = validation_batches(validation, self.num_images * validation.num_workers)
        image, mask, is_real = (tensor.numpy() for tensor in next(read_batches(batches)))
        return image[is_real], mask[is_real]

    def _remove_later_epochs(self, epoch: int) -> None:
        """Remove what an earlier, longer training drew."""
        for path in self.folder.glob("epoch_*.png"):
            number = path.stem.removeprefix("epoch_")
            if number.isdecimal() and int(number) > epoch:
                path.unlink()
