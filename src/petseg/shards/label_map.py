"""From a mask's values, as the source has them, to class indices."""

import numpy as np
from numpy.typing import NDArray

from petseg.core.labels import IGNORE_LABEL

UNKNOWN_LABEL = 254
"""What `label_lookup` makes of a value that is no label."""


def label_lookup(first_label: int, classes: int) -> NDArray[np.uint8]:
    """(256,) from a mask's value to its class index, IGNORE_LABEL, or UNKNOWN_LABEL."""
    lookup = np.full(256, UNKNOWN_LABEL, np.uint8)
    lookup[first_label : first_label + classes] = np.arange(classes)
    lookup[IGNORE_LABEL] = IGNORE_LABEL
    return lookup
