"""The names and colors of classes, and the label of pixels that belong to no class."""

import colorsys
from collections.abc import Sequence

TRIMAP_CLASSES = ("pet", "background", "border")
"""Oxford-IIIT Pet's trimap values 1, 2, 3 as class indices 0, 1, 2."""

BACKGROUND = "background"
BORDER = "border"
IGNORE_LABEL = 255
"""Mask pixels with this value belong to no class. Losses and metrics ignore them."""

MAX_CLASSES = 255
"""Class indices are 0 to 254 in a uint8 mask, below IGNORE_LABEL."""

Color = tuple[int, int, int]

# Okabe and Ito's palette for color-blind readers (https://jfly.uni-koeln.de/color/).
_OKABE_ITO: tuple[Color, ...] = (
    (230, 159, 0),  # orange
    (0, 114, 178),  # blue
    (204, 121, 167),  # reddish purple
    (0, 158, 115),  # bluish green
    (240, 228, 66),  # yellow
    (86, 180, 233),  # sky blue
    (213, 94, 0),  # vermillion
)
_GOLDEN_RATIO = 0.618034  # its multiples spread over a circle, however many there are
_BACKGROUND_COLOR: Color = (40, 44, 52)


def check_labels(first_label: int, num_classes: int) -> None:
    """Raise ValueError unless all labels from `first_label` on are in 0 to IGNORE_LABEL - 1."""
    if not 0 <= first_label <= IGNORE_LABEL - num_classes:
        raise ValueError("the labels don't fit into a byte")


def colors_of(class_names: Sequence[str]) -> dict[str, Color]:
    """Return a fixed RGB color for each class, in order.

    With more classes than the palette has colors, the colors repeat in two darker shades; then hues
    follow that are as different as so many can be.
    The class "background" is always dark gray, so that the other classes stand out.
    """
    others = [name for name in class_names if name != BACKGROUND]
    colors = {name: _color_of(i) for i, name in enumerate(others)}
    return {name: colors.get(name, _BACKGROUND_COLOR) for name in class_names}


def _color_of(index: int) -> Color:
    shades, position = divmod(index, len(_OKABE_ITO))
    if shades < 3:
        red, green, blue = (round(part * 0.6**shades) for part in _OKABE_ITO[position])
    else:
        hue = index * _GOLDEN_RATIO % 1
        parts = colorsys.hsv_to_rgb(hue, (0.5, 0.75, 1)[index % 3], (0.95, 0.65)[index % 2])
        red, green, blue = (round(part * 255) for part in parts)
    return red, green, blue
