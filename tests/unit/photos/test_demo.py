"""`petseg demo`: the page itself, in a real browser where there is one, and what is said when it can't be served."""

import socket
import sys
import time
from contextlib import closing
from pathlib import Path

import gradio_client
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from selenium.webdriver.common.by import By

from petseg.cli import main
from petseg.core.errors import PetsegError
from petseg.core.labels import colors_of
from petseg.photos.demo import build_demo, serve
from petseg.photos.predictor import Predictor
from support.browsers import PHONE, WIDE, in_a_browser, open_browser, screen_of

CLASSES = colors_of(("pet", "background", "border"))


def score(images):
    """Dark pixels are pet, bright ones background: a scorer that needs no training."""
    bright = images.mean(-1, keepdims=True).astype(np.float32) / 255
    return np.concatenate([1 - bright, bright, np.zeros_like(bright)], -1)


def photo_file(folder):
    """A photo whose right third is black, the rest white."""
    pixels = np.full((60, 90, 3), 255, np.uint8)
    pixels[:, 60:] = 0
    path = folder / "cat.png"
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def page(tmp_path):
    """The address of a served page, and the folder of its results."""
    folder = tmp_path / "results"
    folder.mkdir()
    blocks = build_demo(Predictor(score, CLASSES, 96), folder)
    _, address, _ = blocks.launch(
        server_name="127.0.0.1", quiet=True, prevent_thread_lock=True, ssr_mode=False
    )
    yield address, folder
    blocks.close()


def test_a_photo_comes_back_with_shares_and_files(page, tmp_path):
    address, _ = page
    client = gradio_client.Client(address, verbose=False)
    slider, shares, files = client.predict(
        gradio_client.handle_file(photo_file(tmp_path)), api_name="/segment"
    )
    found = {one["label"]: one["confidence"] for one in shares["confidences"]}
    assert found == pytest.approx({"pet": 1 / 3, "background": 2 / 3, "border": 0}, abs=0.02)
    assert [Path(file).name for file in files] == [
        "cat_mask.png",
        "cat_overlay.jpg",
        "cat_cutout.png",
    ]
    mask = np.asarray(Image.open(files[0]))
    assert mask.shape == (60, 90)
    assert (mask[:, 65:] == 0).all()
    assert (mask[:, :55] == 1).all()
    assert len(slider) == 2


def test_older_results_are_removed(page, tmp_path):
    address, folder = page
    client, file = (
        gradio_client.Client(address, verbose=False),
        gradio_client.handle_file(photo_file(tmp_path)),
    )
    for _ in range(18):
        client.predict(file, api_name="/segment")
    assert len(list(folder.iterdir())) == 16


def test_what_is_no_photo_is_told_in_a_sentence(page, tmp_path):
    address, _ = page
    client = gradio_client.Client(address, verbose=False)
    (tmp_path / "notes.png").write_text("no picture")
    with pytest.raises(
        gradio_client.exceptions.AppError,
        match=r"^notes\.png can't be read as an image \(not a JPEG",
    ):
        client.predict(gradio_client.handle_file(tmp_path / "notes.png"), api_name="/segment")


def test_a_photo_that_can_t_be_drawn_is_told_in_a_sentence_too(page, tmp_path):
    address, folder = page
    Image.fromarray(np.zeros((2, 70_000, 3), np.uint8)).save(tmp_path / "long.png")
    client, file = (
        gradio_client.Client(address, verbose=False),
        gradio_client.handle_file(tmp_path / "long.png"),
    )
    with pytest.raises(gradio_client.exceptions.AppError, match=r"^long\.png is 70000 x 2 pixels"):
        client.predict(file, api_name="/segment")
    assert list(folder.iterdir()) == []


@in_a_browser
@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
def test_in_a_browser_a_dropped_photo_is_seen_with_its_mask(page, tmp_path, size):
    address, _ = page
    with open_browser(size) as browser:
        browser.get(address)
        wait_for(browser, "input[type=file]")[0].send_keys(str(photo_file(tmp_path)))
        links = wait_for(browser, "a[href*='cat_cutout.png']")
        assert links
        shown = [image for image in wait_for(browser, "img") if image.size["width"] > 100]
        assert len(shown) == 2  # the slider's two sides
        assert browser.execute_script("return document.documentElement.scrollWidth") <= size[0]
        browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", shown[0])
        screen = screen_of(browser)
    orange = np.abs(screen - (127, 71, 0)).max(-1) < 25  # the pet's color, over black
    assert orange.mean() > 0.005


def wait_for(browser, selector):
    """The elements, once there are some."""
    for _ in range(300):
        found = browser.find_elements(By.CSS_SELECTOR, selector)
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError(f"no {selector} came")


def test_a_taken_port_is_told_in_a_sentence():
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(
            PetsegError, match=rf"127\.0\.0\.1:{port} can't be served \(.+\); take another --port"
        ):
            serve(Predictor(score, CLASSES, 32), "127.0.0.1", port, 1, False)


def test_without_gradio_the_command_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "gradio", None)  # importing it is then an ImportError
    done = CliRunner().invoke(main, ["demo"])
    assert done.exit_code == 1
    assert (
        "petseg demo needs Gradio, which isn't installed here; run pip install 'gradio>=6'"
        in done.output
    )


def test_the_demo_is_served_to_this_machine_alone_unless_told_otherwise(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr("petseg.photos.demo.serve", lambda predictor, *words: asked.append(words))
    monkeypatch.setattr("petseg.photos.predictor.load", lambda *words: None)
    assert CliRunner().invoke(main, ["demo"]).exit_code == 0
    assert (
        CliRunner()
        .invoke(main, ["demo", "--host", "0.0.0.0", "--port", "80", "--max-upload", "5"])
        .exit_code
        == 0
    )
    assert asked == [("127.0.0.1", 7860, 50, False), ("0.0.0.0", 80, 5, False)]
