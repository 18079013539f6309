"""Writing one split's examples to a fixed number of TFRecord files, in turns."""

import math
import os
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from petseg.config.params import PreprocessParams
from petseg.core.hashing import sha256_of
from petseg.core.labels import IGNORE_LABEL
from petseg.core.parallel import parallel_map
from petseg.shards.example import Example, serialize
from petseg.shards.manifest import Shard, Split

_FEWEST, _SHARD_BYTES = 8, 10**8


def shard_counts(params: PreprocessParams, trainval: int, test: int) -> dict[str, int]:
    """How many shards each split has: as set, or by about how many of the data set's examples it will hold."""
    kept = params.train_fraction * (1 - params.val_fraction)
    examples = {
        "train": round(trainval * kept),
        "val": round(trainval * params.val_fraction),
        "test": test,
    }
    return {
        split: params.shards or shards_for(count, params.image_size)
        for split, count in examples.items()
    }


def shards_for(examples: int, image_size: int) -> int:
    """How many shards of about 100 MB a split of so many examples has: a multiple of 8, which workers can share out."""
    size = examples * image_size**2 * 4  # RGB and label
    return max(1, math.ceil(size / _SHARD_BYTES / _FEWEST)) * _FEWEST


def shard_name(split: str, shard: int, shards: int) -> str:
    return f"{split}-{shard:05d}-of-{shards:05d}.tfrecord"


@dataclass
class Tally:
    """What the manifest counts of some examples."""

    examples: int = 0
    pixels: NDArray[np.int64] = field(
        default_factory=lambda: np.zeros(256, np.int64)
    )  # per value of the mask
    categories: Counter[str] = field(default_factory=Counter)

    def add(self, example: Example) -> None:
        self.examples += 1
        self.pixels += np.bincount(example.mask.ravel(), minlength=256)
        self.categories[example.category] += 1

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(
            self.examples + other.examples,
            self.pixels + other.pixels,
            self.categories + other.categories,
        )


def split_entry(tally: Tally, shards: Sequence[Shard], class_names: Sequence[str]) -> Split:
    """A split's entry in the manifest."""
    pixels = {name: int(tally.pixels[i]) for i, name in enumerate(class_names)}
    return Split(
        num_examples=tally.examples,
        pixels={**pixels, "ignored": int(tally.pixels[IGNORE_LABEL])},
        categories=dict(sorted(tally.categories.items())),
        shards=tuple(shards),
    )


class SplitWriter:
    """Writes examples and counts them; after the `with` block, `summary` is the split's entry in the manifest."""

    def __init__(self, directory: Path, split: str, shards: int) -> None:
        self._paths = [directory / shard_name(split, k, shards) for k in range(shards)]
        self._tally = Tally()
        self._stack = ExitStack()

    @property
    def examples(self) -> int:
        return self._tally.examples

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
        self._writers[self.examples % len(self._writers)].write(serialize(example))
        self._tally.add(example)

    def summary(self, class_names: Sequence[str]) -> Split:
        """The split's entry in the manifest; reads the finished files for their checksums."""
        whole, rest = divmod(self.examples, len(self._paths))
        checksums = parallel_map(sha256_of, self._paths)
        shards = [
            Shard(path.name, whole + (k < rest), sha256)
            for k, (path, sha256) in enumerate(zip(self._paths, checksums, strict=True))
        ]
        return split_entry(self._tally, shards, class_names)


def raise_open_file_limit(count: int) -> None:
    """Let this process have so many files open at a time, as far as the system lets it."""
    if os.name != "posix":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + 256  # for libraries and TensorFlow
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
