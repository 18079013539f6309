"""The size of the network's input, and how an image of any size is fitted into it."""

from typing import NamedTuple


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
