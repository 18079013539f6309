"""Draw a contact sheet: some of a folder's images with their masks laid over."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from petseg.core.geometry import MAX_TILED_PIXELS
from petseg.core.labels import BACKGROUND, IGNORE_LABEL, Color, colors_of
from petseg.datasets.folder.classes.labels import IGNORE_NAME
from petseg.datasets.folder.index import FolderItem, NoAnnotation
from petseg.datasets.folder.scan import FolderScan
from petseg.images.reading import read_rgb
from petseg.overlays import Mask, RgbImage, overlay_mask

_COLUMNS, _CELL, _MARGIN, _LINE = 6, 200, 10, 18  # pixels, except the first
_MAX_IMAGES, _MAX_FIRST = 24, 8
_PAPER, _INK, _FAINT, _RED = (255, 255, 255), (30, 32, 36), (110, 114, 122), (180, 30, 30)
_IGNORED: Color = (255, 255, 255)
_SWATCH = 12


def draw_contact_sheet(scan: FolderScan, first: Iterable[str] = ()) -> Image.Image:
    """Draw up to 24 images, by name.

    The names in `first` come in first, up to 8; then an image for each class, up to 12, the rarest
    class first; then images evenly from all.
    """
    font = ImageFont.load_default(12)
    items = _choose(scan, first)
    legend = _legend(scan)
    entries = _place_legend(legend, font)
    legend_rows = entries[-1][0][1] + 1 if entries else 0
    cells = [_draw_cell(scan, item, list(legend.values())) for item in items]
    rows = [range(i, min(i + _COLUMNS, len(items))) for i in range(0, len(items), _COLUMNS)]
    heights = [max(cells[number][0].height for number in numbers) for numbers in rows]
    sheet_height = (
        2 * _MARGIN + sum(heights) + len(rows) * (2 * _LINE + _MARGIN) + legend_rows * _LINE
    )
    sheet_width = _MARGIN + min(_COLUMNS, max(3, len(items))) * (_CELL + _MARGIN)
    sheet = Image.new("RGB", (sheet_width, sheet_height), _PAPER)
    draw = ImageDraw.Draw(sheet)
    split_of = {item.name: split for split, found in scan.index.splits.items() for item in found}
    top = _MARGIN
    for numbers, height in zip(rows, heights, strict=True):
        for column, number in enumerate(numbers):
            left = _MARGIN + column * (_CELL + _MARGIN)
            item, (cell, problem) = items[number], cells[number]
            x, y = (_CELL - cell.width) // 2, height - cell.height
            sheet.paste(cell, (left + x, top + y))
            note, color = (problem, _RED) if problem else (_classes_in(scan, item), _FAINT)
            title = f"{item.name} ({split_of[item.name]})"
            draw.text((left, top + height + 2), _shorten(title, font), fill=_INK, font=font)
            below = (left, top + height + 2 + _LINE)
            draw.text(below, _shorten(note, font), fill=color, font=font)
        top += height + 2 * _LINE + _MARGIN
    for (x, row), name in entries:
        y = top + row * _LINE
        box = (x, y, x + _SWATCH, y + _SWATCH)
        draw.rectangle(box, fill=legend[name], outline=_FAINT)
        draw.text((x + _SWATCH + 6, y - 1), name, fill=_INK, font=font)
    return sheet


def _choose(scan: FolderScan, first: Iterable[str]) -> list[FolderItem]:
    items = [item for item in scan.index.items if scan.items[item.name].facts]
    by_name = {item.name: item for item in items}
    named = [name for name in dict.fromkeys(first) if name in by_name][:_MAX_FIRST]
    pixels = {item.name: scan.pixels_of(item.name) for item in items}
    chosen = {name: by_name[name] for name in named}
    most = len(chosen) + _MAX_IMAGES // 2
    if pixels and scan.table:
        images_with = np.sum([counts > 0 for counts in pixels.values()], axis=0)
        for index in np.argsort(images_with[: len(scan.table.names)], kind="stable").tolist():
            if images_with[index]:
                best = max(items, key=lambda item: pixels[item.name][index])
                if len(chosen) < most:
                    chosen[best.name] = best
    rest = [item for item in items if item.name not in chosen]
    wanted = min(_MAX_IMAGES - len(chosen), len(rest))
    shown = [*chosen.values(), *(rest[i * len(rest) // wanted] for i in range(wanted))]
    return sorted(shown, key=lambda item: item.name)


def _legend(scan: FolderScan) -> dict[str, Color]:
    return {**(colors_of(scan.table.names) if scan.table else {}), IGNORE_NAME: _IGNORED}


def _draw_cell(
    scan: FolderScan, item: FolderItem, colors: Sequence[Color]
) -> tuple[Image.Image, str]:
    """Return an image with its mask laid over, fit into a cell, and what is wrong with the mask."""
    photo = read_rgb(item.image, max_pixels=MAX_TILED_PIXELS)
    scale = _CELL / max(photo.size)
    size = (max(1, round(photo.width * scale)), max(1, round(photo.height * scale)))
    small = photo.resize(size, Image.Resampling.BOX if scale < 1 else Image.Resampling.NEAREST)
    if problem := _mask_problem(scan, item):
        return small, problem
    mask = Image.fromarray(scan.read_labels(item)).resize(size, Image.Resampling.NEAREST)
    return Image.fromarray(_lay_over(np.asarray(small), np.asarray(mask), scan, colors)), ""


def _mask_problem(scan: FolderScan, item: FolderItem) -> str:
    """Return why an image's mask can't be shown, or an empty text."""
    its = scan.items[item.name]
    if its.labels_error:
        return "its mask can't be read"
    if isinstance(item.annotation, NoAnnotation):
        return "no mask"
    if not (its.fits or its.fits_turned):
        return f"mask {its.labels_size[0]}x{its.labels_size[1]}, another size"
    if scan.table is None:
        return "no classes"
    unknown = [key for key in scan.labels_of(item.name) if scan.table.class_of(key) is None]
    return f"in no class: {', '.join(map(str, unknown))}" if unknown else ""


def _lay_over(image: RgbImage, mask: Mask, scan: FolderScan, colors: Sequence[Color]) -> RgbImage:
    """Color the classes, and paint white what belongs to none."""
    names = scan.table.names if scan.table else ()
    background = names.index(BACKGROUND) if BACKGROUND in names else None
    shown = np.where(mask == IGNORE_LABEL, len(names), mask).astype(np.uint8)
    return overlay_mask(image, shown, list(colors), background)


def _classes_in(scan: FolderScan, item: FolderItem) -> str:
    names = scan.table.names if scan.table else ()
    counts = scan.pixels_of(item.name)
    present = [name for name, count in zip(names, counts.tolist(), strict=False) if count]
    present += [IGNORE_NAME] * bool(counts[IGNORE_LABEL])
    return ", ".join(name for name in present if name != BACKGROUND) or BACKGROUND


def _shorten(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """Cut a text in its middle until it is no wider than a cell."""
    shown = text
    kept = len(text)
    while font.getlength(shown) > _CELL and kept > 2:
        kept -= 1
        shown = f"{text[: kept // 2]}...{text[-(kept - kept // 2) :]}"
    return shown


def _place_legend(
    legend: Mapping[str, Color], font: ImageFont.FreeTypeFont | ImageFont.ImageFont
) -> list[tuple[tuple[int, int], str]]:
    """Return (x, row) and the name of each entry."""
    placed = []
    x, row = _MARGIN, 0
    for name in legend:
        width = _SWATCH + 24 + round(font.getlength(name))
        if x > _MARGIN and x + width > _COLUMNS * (_CELL + _MARGIN):
            x, row = _MARGIN, row + 1
        placed.append(((x, row), name))
        x += width
    return placed
