"""The names and colors of classes, and the label of pixels that belong to no class."""

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
_BACKGROUND_COLOR: Color = (40, 44, 52)


def check_labels(first_label: int, num_classes: int) -> None:
    """Raise ValueError unless all labels from `first_label` on are in 0 to IGNORE_LABEL - 1."""
    if not 0 <= first_label <= IGNORE_LABEL - num_classes:
        raise ValueError("the labels don't fit into a byte")


def colors_of(class_names: Sequence[str]) -> dict[str, Color]:
    """Return a fixed RGB color for each class, in order.

    With more classes than the palette has colors, the colors repeat in darker shades.
    The class "background" is always dark gray, so that the other classes stand out.
    """
    colors: dict[str, Color] = {}
    others = (name for name in class_names if name != BACKGROUND)
    for i, name in enumerate(others):
        red, green, blue = _OKABE_ITO[i % len(_OKABE_ITO)]
        shade = 0.6 ** (i // len(_OKABE_ITO))
        colors[name] = (round(red * shade), round(green * shade), round(blue * shade))
    return {name: colors.get(name, _BACKGROUND_COLOR) for name in class_names}
