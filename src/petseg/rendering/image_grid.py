"""Sheets of pictures: rows of panels with titles, captions and a legend, drawn with Pillow."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from petseg.core.labels import Color
from petseg.overlays import Picture

_PAPER, _INK, _FAINT = (255, 255, 255), (30, 32, 36), (110, 114, 122)
_MARGIN, _LINE = 12, 22
_MIN_PANEL_SIDE = 240  # pixels a side at least


@dataclass(frozen=True)
class GridRow:
    """Panels of one size beside each other, and a line of text under them."""

    panels: Sequence[Picture]
    caption: str


def draw_image_grid(
    titles: Sequence[str], rows: Sequence[GridRow], legend: Mapping[str, Color]
) -> Image.Image:
    """A sheet with one title per column, the rows, and a legend of colors at the bottom."""
    font = ImageFont.load_default(14)
    small = rows[0].panels[0].shape[0]
    side = small * max(1, round(_MIN_PANEL_SIDE / small))  # a whole factor keeps mask pixels square
    width = _MARGIN + len(titles) * (side + _MARGIN)
    height = _MARGIN + _LINE + len(rows) * (side + _LINE + _MARGIN) + _LINE
    sheet = Image.new("RGB", (width, height), _PAPER)
    pen = ImageDraw.Draw(sheet)
    for column, title in enumerate(titles):
        pen.text((_MARGIN + column * (side + _MARGIN), _MARGIN), title, fill=_INK, font=font)
    y = _MARGIN + _LINE
    for row in rows:
        for column, panel in enumerate(row.panels):
            enlarged = Image.fromarray(np.ascontiguousarray(panel)).resize(
                (side, side), Image.Resampling.NEAREST
            )
            sheet.paste(enlarged, (_MARGIN + column * (side + _MARGIN), y))
        pen.text((_MARGIN, y + side + 4), row.caption, fill=_FAINT, font=font)
        y += side + _LINE + _MARGIN
    _draw_legend(pen, (_MARGIN, y - 4), legend, font)
    return sheet


def _draw_legend(
    pen: ImageDraw.ImageDraw,
    at: tuple[int, int],
    legend: Mapping[str, Color],
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
) -> None:
    x, y = at
    for name, color in legend.items():
        pen.rectangle((x, y + 2, x + 13, y + 15), fill=color, outline=_FAINT)
        pen.text((x + 19, y), name, fill=_INK, font=font)
        x += 19 + round(pen.textlength(name, font=font)) + 18
