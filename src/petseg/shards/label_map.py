"""Map the label values in a data set's masks to class indices."""

import numpy as np
from numpy.typing import NDArray

from petseg.core.labels import IGNORE_LABEL

UNKNOWN_LABEL = -1
"""The entry of `label_lookup` for a value that is not a label."""


def label_lookup(first_label: int, num_classes: int) -> NDArray[np.int16]:
    """Return a table (256,) from mask value to class index, IGNORE_LABEL or UNKNOWN_LABEL."""
    lookup = np.full(256, UNKNOWN_LABEL, np.int16)
    lookup[first_label : first_label + num_classes] = np.arange(num_classes)
    lookup[IGNORE_LABEL] = IGNORE_LABEL
    return lookup
