"""Image grids: rows of panels with column titles, captions and a legend, drawn with Pillow."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from petseg.core.labels import Color
from petseg.overlays import RgbImage

_BACKGROUND, _TEXT, _FAINT_TEXT = (255, 255, 255), (30, 32, 36), (110, 114, 122)
_MARGIN, _LINE = 12, 22  # pixels
_SWATCH = 13
_MIN_PANEL_SIDE = 240

_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True)
class GridRow:
    """Panels in a row, with a caption below."""

    panels: Sequence[RgbImage]
    caption: str


def draw_image_grid(
    titles: Sequence[str], rows: Sequence[GridRow], legend: Mapping[str, Color]
) -> Image.Image:
    """Draw rows of panels under one title per column, and a legend of colors at the bottom."""
    font = ImageFont.load_default(14)
    shapes = [panel.shape for row in rows for panel in row.panels]
    height, width = max(shape[0] for shape in shapes), max(shape[1] for shape in shapes)
    # A whole factor keeps the mask's pixels square.
    factor = max(1, round(_MIN_PANEL_SIDE / max(height, width)))
    column_width, row_height = factor * width + _MARGIN, factor * height + _LINE + _MARGIN
    top = _MARGIN + _LINE
    size = (_MARGIN + len(titles) * column_width, top + len(rows) * row_height + _LINE)
    grid = Image.new("RGB", size, _BACKGROUND)
    draw = ImageDraw.Draw(grid)
    for column, title in enumerate(titles):
        draw.text((_MARGIN + column * column_width, _MARGIN), title, fill=_TEXT, font=font)
    for row in rows:
        for column, panel in enumerate(row.panels):
            image = Image.fromarray(np.ascontiguousarray(panel))
            size = (factor * image.width, factor * image.height)
            enlarged = image.resize(size, Image.Resampling.NEAREST)
            grid.paste(enlarged, (_MARGIN + column * column_width, top))
        draw.text((_MARGIN, top + factor * height + 4), row.caption, fill=_FAINT_TEXT, font=font)
        top += row_height
    _draw_legend(draw, (_MARGIN, top - 4), legend, font)
    return grid


def _draw_legend(
    draw: ImageDraw.ImageDraw, position: tuple[int, int], legend: Mapping[str, Color], font: _Font
) -> None:
    x, y = position
    for name, color in legend.items():
        draw.rectangle((x, y + 2, x + _SWATCH, y + 2 + _SWATCH), fill=color, outline=_FAINT_TEXT)
        x += _SWATCH + 6
        draw.text((x, y), name, fill=_TEXT, font=font)
        x += round(draw.textlength(name, font=font)) + 18
