"""Labels as an annotation has them, before they are classes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Label = int | str
"""A pixel's label: a number, a color "#rrggbb", or a name. Gray colors are numbers."""

BACKGROUND_NAME = "background"
"""The label of pixels outside of all shapes."""

IGNORE_NAME = "ignore"
"""The label of pixels that an annotation leaves open, such as COCO's crowds."""

LABELME_NAMES: dict[str, Label] = {"_background_": BACKGROUND_NAME, "__ignore__": IGNORE_NAME}
"""The labels that LabelMe, and what converts its files, writes for them."""

MAX_DISTINCT_LABELS = 4096
"""More different labels than this in one file mean that it isn't a mask."""

MAX_LABEL = 2**16 - 1
"""The largest number that a mask may hold."""

Size = tuple[int, int]  # (width, height)
_NUM_COMPARED = 8  # byte values that `count_bytes` compares first


@dataclass(frozen=True)
class RawLabels:
    """The label of each pixel (y, x) is values[indices[y, x]]."""

    indices: NDArray[np.unsignedinteger]  # (H, W)
    values: tuple[Label, ...]
    colors: tuple[Label, ...] | None = None  # of the same pixels in the palette, if there is one
    lossy: bool = False  # JPEG has blurred the labels
    only_boxes: bool = False  # all shapes are rectangles, and there are some
    notes: tuple[str, ...] = ()  # what reading it left out or guessed, each as a finding says it

    @property
    def size(self) -> Size:
        return self.indices.shape[1], self.indices.shape[0]

    def count(self) -> dict[Label, int]:
        """Return the number of pixels of each label that occurs."""
        if self.indices.dtype == np.uint8:
            counts = count_bytes(self.indices)[: len(self.values)]
        else:
            counts = np.bincount(self.indices.ravel(), minlength=len(self.values)).tolist()
        return {label: count for label, count in zip(self.values, counts, strict=True) if count > 0}


class Annotation(Protocol):
    """Where an image's labels come from."""

    @property
    def path(self) -> Path:
        """The file that has them, for messages."""

    def read(self, shown: Size) -> RawLabels:
        """Return the labels of an image that a viewer shows in this size.

        They may have another size than the image. Raises PetsegError.
        """


def count_bytes(values: NDArray[np.uint8]) -> list[int]:
    """Return how often each of the 256 values occurs.

    If they are few, comparing takes a fifth of the time of a histogram, which takes a tenth of
    that of np.bincount.
    """
    counts, left = [0] * 256, values.size
    for value in (*range(_NUM_COMPARED), 255):
        counts[value] = int(np.count_nonzero(values == value))
        left -= counts[value]
        if not left:
            return counts
    return Image.fromarray(values).histogram()


def color_label(red: int, green: int, blue: int) -> Label:
    """Return the label for a color; a shade of gray is a number."""
    return red if red == green == blue else f"#{red:02x}{green:02x}{blue:02x}"
