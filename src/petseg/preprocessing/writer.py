"""Write a split's examples to a fixed number of TFRecord files, in turn, and count them."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import astuple, dataclass, field
from pathlib import Path
from types import TracebackType

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from petseg.config.data_params import PreprocessParams
from petseg.core.geometry import ImageSize
from petseg.core.hashing import sha256_of
from petseg.core.labels import IGNORE_LABEL
from petseg.core.parallel import parallel_map
from petseg.shards.example import Example, serialize
from petseg.shards.manifest import Shard, Split

_MIN_SHARDS = 8
_SHARD_BYTES = 10**8


def num_shards_by_split(params: PreprocessParams, totals: Mapping[str, int]) -> dict[str, int]:
    """Return the number of shards of each split, given the data set's number of examples by split.

    It is `preprocess.shards`, or for "auto" follows from the expected number of examples.
    """
    val_fraction = 0 if "val" in totals else params.val_fraction
    num_examples = {
        "train": round(totals["train"] * (params.train_fraction * (1 - val_fraction))),
        "val": totals.get("val", round(totals["train"] * val_fraction)),
        "test": totals["test"],
    }
    return {
        split: params.shards or auto_num_shards(count, params.image_size)
        for split, count in num_examples.items()
    }


def auto_num_shards(num_examples: int, image_size: ImageSize) -> int:
    """Return the number of shards of about 100 MB: a multiple of 8, to divide among workers."""
    num_bytes = num_examples * image_size.num_pixels * 4  # RGB and label
    return max(1, math.ceil(num_bytes / _SHARD_BYTES / _MIN_SHARDS)) * _MIN_SHARDS


def shard_name(split: str, shard: int, num_shards: int) -> str:
    """Return the file name of a shard."""
    return f"{split}-{shard:05d}-of-{num_shards:05d}.tfrecord"


@dataclass
class FittingStats:
    """How some images were fitted into the network's input."""

    tiled: int = 0  # images that were tiled
    changed: int = 0  # images that were cut or padded
    cut: int = 0  # pixels that were cut off
    padding: int = 0  # pixels of padding
    original: int = 0  # pixels of all original images

    def __add__(self, other: "FittingStats") -> "FittingStats":
        sums = map(sum, zip(astuple(self), astuple(other), strict=True))
        return FittingStats(*sums)


@dataclass
class SplitStats:
    """The counts over some examples that go into the manifest."""

    num_examples: int = 0
    pixels: NDArray[np.int64] = field(  # (256,) by mask value
        default_factory=lambda: np.zeros(256, np.int64)
    )
    categories: Counter[str] = field(default_factory=Counter)  # of images
    fitting: FittingStats = field(default_factory=FittingStats)

    def add(self, example: Example) -> None:
        self.num_examples += 1
        self.pixels += np.bincount(example.mask.ravel(), minlength=256)
        if example.position in (None, (0, 0)):  # an image's only or first example
            self.categories[example.category] += 1
            self.fitting.tiled += example.position is not None
            self.fitting.changed += bool(example.num_cut or example.num_padding)
            self.fitting.original += example.height * example.width
        self.fitting.cut += example.num_cut
        self.fitting.padding += example.num_padding

    def __add__(self, other: "SplitStats") -> "SplitStats":
        return SplitStats(
            self.num_examples + other.num_examples,
            self.pixels + other.pixels,
            self.categories + other.categories,
            self.fitting + other.fitting,
        )

    def manifest_entry(self, shards: Sequence[Shard], class_names: Sequence[str]) -> Split:
        """Return the split's entry in the manifest."""
        pixels = {name: int(self.pixels[i]) for i, name in enumerate(class_names)}
        return Split(
            num_examples=self.num_examples,
            pixels={**pixels, "ignored": int(self.pixels[IGNORE_LABEL])},
            categories=dict(sorted(self.categories.items())),
            shards=tuple(shards),
            num_tiled_images=self.fitting.tiled or None,
        )


class SplitWriter:
    """Write a split's examples; after the `with` block, `manifest_entry` describes them."""

    def __init__(self, directory: Path, split: str, num_shards: int) -> None:
        self._paths = [directory / shard_name(split, k, num_shards) for k in range(num_shards)]
        self._stats = SplitStats()
        self._stack = ExitStack()

    @property
    def num_examples(self) -> int:
        return self._stats.num_examples

    @property
    def fitting(self) -> FittingStats:
        """How the images were fitted into the network's input."""
        return self._stats.fitting

    def __enter__(self) -> "SplitWriter":
        self._writers = [
            self._stack.enter_context(tf.io.TFRecordWriter(str(path))) for path in self._paths
        ]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def write(self, example: Example) -> None:
        """Write an example to the next shard."""
        self._writers[self.num_examples % len(self._writers)].write(serialize(example))
        self._stats.add(example)

    def manifest_entry(self, class_names: Sequence[str]) -> Split:
        """Return the split's entry in the manifest, with the finished files' checksums."""
        per_shard, remainder = divmod(self.num_examples, len(self._paths))
        checksums = parallel_map(sha256_of, self._paths)
        shards = [
            Shard(path.name, per_shard + (k < remainder), sha256)
            for k, (path, sha256) in enumerate(zip(self._paths, checksums, strict=True))
        ]
        return self._stats.manifest_entry(shards, class_names)
