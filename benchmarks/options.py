"""The options passed to every part."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Options:
    scratch: Path  # folder for data sets, which are reused if they exist
    repetitions: int  # measured turns
    seconds: float  # minimum duration of a repetition
    sizes: tuple[int, ...]  # pixels per side
    num_images: int  # synthetic images for training and validation
    max_images: int  # size of the largest data set in the memory part
    photos: Path | None  # a real data set in the Oxford layout, for the parts that need one
    weights: Path | None  # pretrained encoder weights, for the same parts
