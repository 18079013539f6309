"""The table of classes: which labels of the annotations belong to which class, or to none.

| dataset.folder.classes | means |
|---|---|
| auto | the classes that the export names; without such, background and one foreground |
| [background, cat] | masks: the labels 0 and 1, and 255 for none; shapes: the names |
| {background: 0, cat: 255} | these labels: numbers, "#rrggbb", names, "128-255", or lists of them |
| {cat: [1, 2], ignore: [7, 255]} | two labels make one class, two belong to none |
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from petseg.core.labels import IGNORE_LABEL
from petseg.datasets.folder.classes.labels import (
    BACKGROUND_NAME,
    IGNORE_NAME,
    Label,
    RawLabels,
    color_label,
)

_RANGE = re.compile(r"(\d{1,5})\s*-\s*(\d{1,5})")
_COLOR = re.compile(r"#([0-9a-fA-F]{2})([0-9a-fA-F]{2})([0-9a-fA-F]{2})")


@dataclass(frozen=True)
class ClassTable:
    """The classes in order, and the class of each label."""

    names: tuple[str, ...]
    exact: Mapping[Label, int] = field(default_factory=dict)  # label to class, or IGNORE_LABEL
    ranges: tuple[tuple[int, int, int], ...] = ()  # (lowest, highest, class)
    by_color: bool = False  # palette masks count by their colors, not by their indices

    def class_of(self, label: Label) -> int | None:
        """Return the class of a label, IGNORE_LABEL, or None if the table lacks it."""
        number = canonical(label)
        if number in self.exact:
            return self.exact[number]
        for low, high, index in self.ranges:
            if isinstance(number, int) and low <= number <= high:
                return index
        return IGNORE_LABEL if number == IGNORE_NAME else None

    def range_of(self, label: Label) -> str | None:
        """Return the range that puts a label into its class, such as "0-127"."""
        number = canonical(label)
        if not isinstance(number, int) or number in self.exact:
            return None
        fitting = (f"{low}-{high}" for low, high, _ in self.ranges if low <= number <= high)
        return next(fitting, None)

    def values_of(self, labels: RawLabels) -> tuple[Label, ...]:
        """Return the labels that count: a palette's colors or its indices."""
        return labels.colors if self.by_color and labels.colors else labels.values

    def apply(self, labels: RawLabels) -> NDArray[np.uint8]:
        """Return the class of each pixel, (H, W) uint8.

        Raises ValueError if a pixel has an unknown label.
        """
        values = self.values_of(labels)
        classes = [self.class_of(value) for value in values]
        unknown = [index for index, class_index in enumerate(classes) if class_index is None]
        for index in unknown:
            if (labels.indices == index).any():  # a shape may cover no pixel
                raise ValueError(f"it contains the label {values[index]}, which is in no class")
        table = np.array([0 if index is None else index for index in classes], np.uint8)
        mask: NDArray[np.uint8] = table[labels.indices]
        return mask


def canonical(label: Label) -> Label:
    """Return the same label for 1 and "1", for "#808080" and 128, in lower and upper case."""
    if isinstance(label, int):
        return label
    if match := _COLOR.fullmatch(label):
        return color_label(*(int(part, 16) for part in match.groups()))
    return int(label) if label.isascii() and label.isdigit() and len(label) < 10 else label.strip()


def table_of(classes: Mapping[str, Iterable[Label]]) -> ClassTable:
    """Return the table of {class: labels}, in which the class `ignore` is none."""
    names = tuple(name for name in classes if name != IGNORE_NAME)
    exact: dict[Label, int] = {}
    ranges = []
    by_color = False
    for name, labels in classes.items():
        index = IGNORE_LABEL if name == IGNORE_NAME else names.index(name)
        for label in labels:
            match = _RANGE.fullmatch(label) if isinstance(label, str) else None
            if match:
                ranges.append((int(match[1]), int(match[2]), index))
                exact.setdefault(canonical(label), index)  # a shape's label may look like a range
            else:
                by_color |= isinstance(label, str) and _COLOR.fullmatch(label) is not None
                exact.setdefault(canonical(label), index)
    if BACKGROUND_NAME in names:
        exact.setdefault(BACKGROUND_NAME, names.index(BACKGROUND_NAME))
    return ClassTable(names, exact, tuple(ranges), by_color)
