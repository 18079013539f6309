"""The setting `preprocess.tiles`, which the shards and the trained model remember."""

from typing import Annotated, Any

from pydantic import Field, PlainSerializer, PlainValidator, ValidationError, model_validator

from petseg.config.types import Int
from petseg.config.validation import Section
from petseg.core.geometry import ImageSize
from petseg.core.windows import Grid


class Tiles(Section):
    """The windows that large images are cut into, in the images' own pixels."""

    size: Annotated[Int, Field(ge=32, le=4096)]  # side of a square window
    overlap: Annotated[Int, Field(ge=0, le=2048)]  # of neighboring windows, at least

    def grid(self, height: int, width: int) -> Grid:
        """Return the windows that cover an image."""
        return Grid(height, width, ImageSize(self.size, self.size), self.overlap)

    def __str__(self) -> str:
        return f"{self.size} px (overlap {self.overlap})"

    @model_validator(mode="after")
    def _check_overlap(self) -> "Tiles":
        if 2 * self.overlap > self.size:
            raise ValueError("overlap is more than half of size")
        return self


def check_tiles(value: Any) -> Tiles | None:
    """Return the tiles for none or a table of their values. Raises ValueError."""
    try:
        return None if value == "none" else Tiles.model_validate(value)
    except ValidationError as error:  # of which pydantic would report every line
        raise ValueError("not a size and an overlap") from error


TilesOrNone = Annotated[
    Tiles | None,
    PlainValidator(check_tiles),
    PlainSerializer(lambda tiles: tiles.model_dump() if tiles else "none", return_type=Any),
    Field(
        description="none or a table such as {size: 512, overlap: 64}, with a size from 32 to 4096 "
        "and an overlap from 0 to half of it"
    ),
]
