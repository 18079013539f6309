"""The size of the network's input, and how an image of any size is fitted into it.

Preprocessing places images with `place`; predictions are brought back to the image with the same
`Placement`. It is all whole pixels, so nothing is off by a fraction of one.
"""

from typing import Any, Literal, NamedTuple

Resize = Literal["stretch", "letterbox", "crop"]
"""How an image of another shape is fitted: distorted, padded, or cut to its center."""

PADDING_GRAY = 128
"""The value of padding in each channel.

Halfway between black and white, so the network sees about 0. Augmentation fills with it too.
"""

MAX_PIXELS = 89_478_485
"""The largest image that is read without tiles: Pillow's own limit against decompression bombs."""

MAX_TILED_PIXELS = 2**29
"""The largest image with tiles: 536 megapixels. TensorFlow decodes no larger PNG."""

_MAX_LENGTH = 16  # of a scaled photo, in windows; a longer one is compressed to it


class ImageSize(NamedTuple):
    """The height and width of images, in pixels."""

    height: int
    width: int

    @property
    def num_pixels(self) -> int:
        return self.height * self.width

    def as_parameter(self) -> int | list[int]:
        """Return the size as params.yaml has it: one number for a square, or [height, width]."""
        return self.height if self.height == self.width else list(self)

    def __str__(self) -> str:
        return f"{self.width} px" if self.height == self.width else f"{self.width}x{self.height} px"


class Box(NamedTuple):
    """A rectangle of pixels. Like the sides of images below, they are ints or integer tensors."""

    top: Any
    left: Any
    height: Any
    width: Any

    @property
    def slices(self) -> tuple[slice, slice]:
        """Its rows and columns."""
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)


class Placement(NamedTuple):
    """Which part of an image becomes which part of the network's input."""

    source: Box  # in the image; the rest is cut off
    target: Box  # in the network's input; the rest is padding


def place(height: Any, width: Any, size: ImageSize, resize: Resize) -> Placement:
    """Return the placement of an image (height, width) in the network's input."""
    image, network = Box(0, 0, height, width), Box(0, 0, *size)
    if resize == "letterbox":
        fitted_height = _smaller(size.height, _scaled(height, size.width, width))
        fitted_width = _smaller(size.width, _scaled(width, size.height, height))
        return Placement(image, _centered(fitted_height, fitted_width, *size))
    if resize == "crop":
        cut_height = _smaller(height, _scaled(size.height, width, size.width))
        cut_width = _smaller(width, _scaled(size.width, height, size.height))
        return Placement(_centered(cut_height, cut_width, height, width), network)
    return Placement(image, network)


def whole_size(height: int, width: int, placement: Placement) -> ImageSize:
    """Return the size of the whole image when its source is scaled to the target.

    It is at most 16 times that of the target, so that no thin image fills the memory.
    """
    source, target = placement
    return ImageSize(
        min(_MAX_LENGTH * target.height, _scaled(height, target.height, source.height)),
        min(_MAX_LENGTH * target.width, _scaled(width, target.width, source.width)),
    )


def describe_input(size: ImageSize, resize: Resize) -> str:
    """Return, for example, "96 px" or "96x64 px (letterbox)"."""
    return str(size) if resize == "stretch" else f"{size} ({resize})"


def _centered(height: Any, width: Any, outer_height: Any, outer_width: Any) -> Box:
    return Box((outer_height - height) // 2, (outer_width - width) // 2, height, width)


def _scaled(length: Any, to: Any, of: Any) -> Any:
    """Return length * to / of, rounded to the nearest whole number of at least 1."""
    return _larger(1, (2 * length * to + of) // (2 * of))


# min and max for tensors in a graph as well, which the built-in functions can't compare.
def _smaller(a: Any, b: Any) -> Any:
    return (a + b - abs(a - b)) // 2


def _larger(a: Any, b: Any) -> Any:
    return (a + b + abs(a - b)) // 2
