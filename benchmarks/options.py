"""What all parts are told."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Options:
    scratch: Path  # a folder for data sets, which may be there already
    repetitions: int  # turns that count
    seconds: float  # of a repetition
    sizes: tuple[int, ...]  # pixels a side
    pictures: int  # drawn by code
    most: int  # pictures of the largest set in the part "memory"
    photos: Path | None  # a real data set, in the Oxford layout, for the parts that need one
    weights: Path | None  # of the ImageNet encoder, likewise
