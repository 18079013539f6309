"""The options that every part gets."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Options:
    scratch: Path  # folder for data sets, reused if they are there
    repetitions: int  # turns that count
    seconds: float  # minimum duration of a repetition
    sizes: tuple[int, ...]  # pixels per side
    num_images: int  # synthetic images for training and validation
    max_images: int  # size of the largest data set in the part memory
    photos: Path | None  # a real data set in the Oxford layout, for the parts that need one
    weights: Path | None  # pretrained encoder weights, for the same parts
