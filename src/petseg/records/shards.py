"""Writing one split's examples to a fixed number of TFRecord files, in turns."""

import math
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

import numpy as np
import tensorflow as tf

from petseg.classes import IGNORE_LABEL
from petseg.hashing import sha256_of
from petseg.records.example import Example, serialize
from petseg.records.manifest import Shard, Split

_FEWEST, _SHARD_BYTES = 8, 10**8


def shards_for(examples: int, image_size: int) -> int:
    """How many shards of about 100 MB a split of so many examples has: a multiple of 8, which workers can share out."""
    size = examples * image_size**2 * 4  # RGB and label
    return max(1, math.ceil(size / _SHARD_BYTES / _FEWEST)) * _FEWEST


class SplitWriter:
    """Writes examples and counts them; after the `with` block, `summary` is the split's entry in the manifest."""

    def __init__(self, directory: Path, split: str, shards: int) -> None:
        self._paths = [directory / f"{split}-{k:05d}-of-{shards:05d}.tfrecord" for k in range(shards)]
        self._pixels = np.zeros(256, np.int64)
        self._breeds: Counter[str] = Counter()
        self._stack = ExitStack()
        self.examples = 0

    def __enter__(self) -> "SplitWriter":
        self._writers = [self._stack.enter_context(tf.io.TFRecordWriter(str(path))) for path in self._paths]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def write(self, example: Example) -> None:
        self._writers[self.examples % len(self._writers)].write(serialize(example))
        self._pixels += np.bincount(example.mask.ravel(), minlength=256)
        self._breeds[example.breed] += 1
        self.examples += 1

    def summary(self, class_names: tuple[str, ...]) -> Split:
        """The split's entry in the manifest; reads the finished files for their checksums."""
        whole, rest = divmod(self.examples, len(self._paths))
        pixels = {name: int(self._pixels[i]) for i, name in enumerate(class_names)}
        return Split(
            examples=self.examples,
            pixels={**pixels, "ignored": int(self._pixels[IGNORE_LABEL])},
            breeds=dict(sorted(self._breeds.items())),
            shards=tuple(Shard(path.name, whole + (k < rest), sha256_of(path)) for k, path in enumerate(self._paths)),
        )
