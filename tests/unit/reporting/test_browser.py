"""The page in a real browser."""

from dataclasses import replace

import numpy as np
import pytest

from petseg.reporting.gallery import image_data_url
from support.browsers import PHONE, WIDE, in_a_browser, open_browser, screen_of
from support.reports import gallery_image, render_page

RED, GREEN, BLUE = (230, 20, 20), (20, 200, 20), (20, 20, 230)
SCRIPT = """
const seen = {}, heads = document.querySelectorAll("table.sortable th button");
const first = () => document.querySelector("table.sortable tbody tr").textContent;
heads[0].click(); seen.by_name = first(); heads[0].click(); seen.by_name_descending = first();
heads[2].click(); seen.by_images = first();
const slider = document.querySelector("figure input");
slider.value = 20; slider.dispatchEvent(new Event("input"));
seen.clip = getComputedStyle(document.querySelector(".prediction")).clipPath;
seen.width = document.documentElement.scrollWidth;
seen.broken = [...document.images].filter((image) => !image.naturalWidth).length;
return seen;
"""


def url_of(folder, page):
    file = folder / "page.html"
    file.write_text(page, encoding="utf-8")
    return file.as_uri()


@in_a_browser
@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
def test_tables_sort_sliders_slide_and_nothing_is_wider_than_the_screen(tmp_path, size):
    with open_browser(size) as browser:
        browser.get(url_of(tmp_path, render_page()))
        seen = browser.execute_script(SCRIPT)
    assert seen["by_name"].startswith("beagle")
    assert seen["by_name_descending"].startswith("pug")
    assert seen["by_images"].startswith("pug")
    assert seen["clip"] == "inset(0px 0px 0px 20%)"
    assert seen["width"] <= size[0]
    assert seen["broken"] == 0


@in_a_browser
@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"])
def test_without_scripts_the_three_images_are_side_by_side(tmp_path, scripts):
    """With scripts, the original and the prediction share one place."""
    red, green, blue = (
        image_data_url(np.full((32, 32, 3), color, np.uint8)) for color in (RED, GREEN, BLUE)
    )
    image = replace(gallery_image("pug_1.jpg"), original=red, prediction=green, truth=blue)
    with open_browser((800, 1800), scripts=scripts) as browser:
        browser.get(url_of(tmp_path, render_page(gallery={"best": [image]})))
        screen = screen_of(browser)
    pixels_by_row = [(np.abs(screen - color).max(-1) < 30).sum(1) for color in (RED, GREEN, BLUE)]
    rows_with_all = np.min(pixels_by_row, axis=0) > 0
    widths = np.max(np.where(rows_with_all, pixels_by_row, 0), axis=1)
    assert widths.min() > 50
    assert (np.ptp(widths) <= 2) == (not scripts)
