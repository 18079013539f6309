"""The contact sheet: which images, which colors, and what is said below them."""

import numpy as np
import pytest

from petseg.core.labels import colors_of
from petseg.inspection.contact_sheet import _choose, draw_contact_sheet
from petseg.inspection.inspect import inspect_folder
from support.folders import MASK, draw_image, draw_pairs, folder_parameters, scan_of, write_mask


def colors_in(sheet):
    return {tuple(color) for _, color in sheet.getcolors(2**20)}


def test_a_sheet_shows_masks_in_the_colors_of_its_legend(tmp_path):
    sheet = draw_contact_sheet(scan_of(draw_pairs(tmp_path)))
    foreground = colors_of(["background", "foreground"])["foreground"]
    assert foreground in colors_in(sheet)  # the legend
    pixels = np.asarray(sheet).astype(int)
    blended = np.round(0.45 * np.array([0, 90, 30]) + 0.55 * np.array(foreground))
    assert (abs(pixels - blended).max(axis=-1) <= 1).sum() > 1000  # the object of image 0


def test_images_asked_for_are_on_the_sheet(tmp_path):
    scan = scan_of(draw_pairs(tmp_path, [f"{number:03d}" for number in range(100)]))
    names = [f"{number:03d}.png" for number in range(51, 100, 2)]
    assert names[:8] == [
        item.name
        for item in _choose(scan, [*names[:8], "other", *names[8:]])
        if item.name in names[:8]
    ]
    assert len(_choose(scan, names)) == 24


@pytest.mark.parametrize(("count", "rows"), [(2, 1), (7, 2), (24, 4), (60, 4)])
def test_a_sheet_has_at_most_24_images(tmp_path, count, rows):
    names = [f"{number:02d}" for number in range(count)]
    scan = scan_of(draw_pairs(tmp_path, names))
    assert draw_contact_sheet(scan).height == 20 + rows * (133 + 2 * 18 + 10) + 18


def test_the_only_image_of_a_class_is_on_the_sheet(tmp_path, monkeypatch):
    names = [f"{number:03d}" for number in range(100)]
    draw_pairs(tmp_path, names)
    write_mask(tmp_path / "masks" / "071.png", MASK * 2)
    inspection = inspect_folder(tmp_path, folder_parameters(path=str(tmp_path)))
    shown = []
    monkeypatch.setattr(
        "petseg.inspection.contact_sheet.read_rgb",
        lambda path, **options: shown.append(path.name) or draw_image(0),
    )
    draw_contact_sheet(inspection.scan)
    assert "071.png" in shown
    assert len(shown) == 24


def test_problems_are_written_in_red_below_the_image(tmp_path):
    draw_pairs(tmp_path)
    red = (180, 30, 30)
    assert red not in colors_in(draw_contact_sheet(scan_of(tmp_path)))
    write_mask(tmp_path / "masks" / "3.png", MASK[:-1])
    (tmp_path / "masks" / "4.png").unlink()
    (tmp_path / "masks" / "5.png").write_text("nothing")
    write_mask(tmp_path / "masks" / "6.png", MASK * 3)
    assert red in colors_in(
        draw_contact_sheet(scan_of(tmp_path, classes={"background": (0,), "cat": (1,)}))
    )
