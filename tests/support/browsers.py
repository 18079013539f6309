"""A headless browser for tests of pages. They are skipped without Chromium."""

import io
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from selenium import webdriver

_CHROMIUM = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)
_DRIVER = shutil.which("chromedriver")

WIDE = (1200, 1000)
PHONE = (390, 844)  # CSS pixels of a typical phone

in_a_browser = pytest.mark.skipif(
    not (_CHROMIUM and _DRIVER), reason="no Chromium with chromedriver here"
)


@contextmanager
def open_browser(
    size: tuple[int, int] = WIDE, *, scripts: bool = True, arguments: Sequence[str] = ()
) -> Iterator[webdriver.Chrome]:
    """Open Chromium with a screen of that size. PHONE is emulated: no window is so narrow.

    `arguments` are further ones of Chromium's.
    """
    options = webdriver.ChromeOptions()
    options.binary_location = str(_CHROMIUM)
    width, height = size
    for argument in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        f"--window-size={width},{height}",
        *arguments,
    ):
        options.add_argument(argument)
    if size == PHONE:
        metrics = {
            "width": width,
            "height": height,
            "pixelRatio": 2.0,
            "mobile": True,
            "touch": True,
        }
        options.add_experimental_option("mobileEmulation", {"deviceMetrics": metrics})
    with webdriver.Chrome(options=options, service=webdriver.ChromeService(_DRIVER)) as browser:
        if not scripts:
            browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
        yield browser


def screen_of(browser: webdriver.Chrome, keep: Path | None = None) -> np.ndarray:
    """Return the screen as (height, width, 3) of 0..255; `keep` names a PNG to look at."""
    png = browser.get_screenshot_as_png()
    if keep:
        keep.write_bytes(png)
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)
