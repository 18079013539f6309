"""`petseg demo`: its page, in a real browser where there is one, and its error messages."""

import io
import json
import socket
import sys
import time
from contextlib import closing
from pathlib import Path

import gradio_client
import numpy as np
import pytest
import requests
from click.testing import CliRunner
from PIL import Image
from selenium.webdriver.common.by import By

from petseg.cli import main
from petseg.core.errors import PetsegError
from petseg.core.geometry import ImageSize
from petseg.photos.demo import build_demo, serve
from support.browsers import PHONE, WIDE, in_a_browser, open_browser, screen_of
from support.predictors import brightness_predictor


@pytest.fixture
def photo(tmp_path):
    """A photo whose right third is black, the rest white."""
    pixels = np.full((60, 90, 3), 255, np.uint8)
    pixels[:, 60:] = 0
    path = tmp_path / "cat.png"
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def page(tmp_path):
    """The URL of a served page, and the folder of its results."""
    folder = tmp_path / "results"
    folder.mkdir()
    blocks = build_demo(brightness_predictor(ImageSize(96, 96)), folder)
    _, url, _ = blocks.launch(
        server_name="127.0.0.1", quiet=True, prevent_thread_lock=True, ssr_mode=False
    )
    yield url, folder
    blocks.close()


def segment(url, *files):
    """The page's answers to these files."""
    client = gradio_client.Client(url, verbose=False)
    return [client.predict(gradio_client.handle_file(file), api_name="/segment") for file in files]


def test_a_client_gets_the_files_and_the_shares(page, photo):
    url, _ = page
    [(mask_file, overlay, cutout, shares)] = segment(url, photo)
    assert shares == pytest.approx({"pet": 1 / 3, "background": 2 / 3, "border": 0}, abs=0.02)
    names = [Path(file).name for file in (mask_file, overlay, cutout)]
    assert names == ["cat_mask.png", "cat_overlay.jpg", "cat_cutout.png"]
    mask = np.asarray(Image.open(mask_file))
    assert mask.shape == (60, 90)
    assert (mask[:, 65:] == 0).all()
    assert (mask[:, :55] == 1).all()


def test_the_interface_is_one_typed_function(page):
    client = gradio_client.Client(page[0], verbose=False)
    endpoints = client.view_api(return_format="dict")["named_endpoints"]
    assert list(endpoints) == ["/segment"]
    described = endpoints["/segment"]
    assert [value["parameter_name"] for value in described["parameters"]] == ["photo"]
    returned = [(value["label"], value["python_type"]["type"]) for value in described["returns"]]
    assert [label for label, _ in returned] == ["mask", "overlay", "cutout", "shares"]
    assert {kind for label, kind in returned if label != "shares"} == {"filepath"}


def test_the_interface_works_without_a_client_library(page, photo):
    url = f"{page[0]}gradio_api"
    with photo.open("rb") as file:
        [path] = requests.post(f"{url}/upload", files={"files": file}).json()
    data = [{"path": path, "meta": {"_type": "gradio.FileData"}}]
    event = requests.post(f"{url}/call/segment", json={"data": data}).json()["event_id"]
    answer = requests.get(f"{url}/call/segment/{event}").text.splitlines()
    assert answer[0] == "event: complete"
    mask_file, *_, shares = json.loads(answer[1].removeprefix("data: "))
    assert list(shares) == ["pet", "background", "border"]
    mask = Image.open(io.BytesIO(requests.get(mask_file["url"]).content))
    assert mask.size == (90, 60)


def test_a_client_reads_only_what_was_uploaded(page, photo):
    url = f"{page[0]}gradio_api/call/segment"
    data = [{"path": str(photo), "meta": {"_type": "gradio.FileData"}}]
    event = requests.post(url, json={"data": data}).json()["event_id"]
    assert requests.get(f"{url}/{event}").text.startswith("event: error")


def test_a_client_that_sends_nothing_or_too_much_gets_an_error(tmp_path, photo):
    blocks = build_demo(brightness_predictor(), tmp_path)
    _, url, _ = blocks.launch(
        server_name="127.0.0.1",
        quiet=True,
        prevent_thread_lock=True,
        ssr_mode=False,
        max_file_size=100,
    )
    try:
        with pytest.raises(gradio_client.exceptions.AppError, match=r"^No photo was sent\.$"):
            gradio_client.Client(url, verbose=False).predict(None, api_name="/segment")
        with pytest.raises(ValueError, match=r"exceeds the maximum file size of 100 bytes"):
            segment(url, photo)
        with photo.open("rb") as file:
            answer = requests.post(f"{url}gradio_api/upload", files={"files": file})
        assert answer.status_code == 413
    finally:
        blocks.close()


def test_only_the_last_results_are_kept(page, photo, monkeypatch):
    monkeypatch.setattr("petseg.photos.demo._KEEP_LAST", 2)
    url, folder = page
    segment(url, photo, photo, photo)
    assert len(list(folder.iterdir())) == 2


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("notes.png", r"^notes\.png can't be read as an image"),
        ("long.png", r"^long\.png is 70000 x 2 pixels"),
    ],
)
def test_a_bad_file_gets_a_message(page, tmp_path, name, message):
    url, folder = page
    (tmp_path / "notes.png").write_text("not an image")
    Image.fromarray(np.zeros((2, 70_000, 3), np.uint8)).save(tmp_path / "long.png")
    with pytest.raises(gradio_client.exceptions.AppError, match=message):
        segment(url, tmp_path / name)
    assert list(folder.iterdir()) == []


@in_a_browser
@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
def test_a_browser_shows_a_dropped_photo_with_its_mask(page, photo, size):
    url, _ = page
    with open_browser(size) as browser:
        browser.get(url)
        wait_for(browser, "input[type=file]")[0].send_keys(str(photo))
        assert wait_for(browser, "a[href*='cat_cutout.png']")
        images = [image for image in wait_for(browser, "img") if image.size["width"] > 100]
        assert len(images) == 2  # the slider's two sides
        assert browser.execute_script("return document.documentElement.scrollWidth") <= size[0]
        browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", images[0])
        screen = screen_of(browser)
    orange = np.abs(screen - (127, 71, 0)).max(-1) < 25  # the pet's color, over black
    assert orange.mean() > 0.005


def wait_for(browser, selector):
    """The elements, as soon as there are any."""
    for _ in range(300):
        found = browser.find_elements(By.CSS_SELECTOR, selector)
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError(f"no {selector} appeared")


def test_a_port_in_use_gives_a_message():
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(
            PetsegError, match=rf"Can't serve on 127\.0\.0\.1:{port} \(.+\); choose another --port"
        ):
            serve(brightness_predictor(), "127.0.0.1", port, max_upload_mb=1, open_browser=False)


def test_without_gradio_the_command_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "gradio", None)  # importing it raises ImportError
    done = CliRunner().invoke(main, ["demo"])
    assert done.exit_code == 1
    assert "needs gradio, which isn't installed; run pip install 'petseg[demo]'" in done.output


def test_the_demo_serves_only_this_machine_by_default(monkeypatch):
    served = []
    monkeypatch.setattr("petseg.photos.predictor.load", lambda *_: brightness_predictor())
    monkeypatch.setattr(
        "petseg.photos.demo.serve", lambda _, *words, **options: served.append((*words, options))
    )
    options = ["--host", "0.0.0.0", "--port", "80", "--max-upload", "5", "--open"]
    for words in (["demo"], ["demo", *options]):
        assert CliRunner().invoke(main, words).exit_code == 0
    assert served == [
        ("127.0.0.1", 7860, {"max_upload_mb": 50, "open_browser": False}),
        ("0.0.0.0", 80, {"max_upload_mb": 5, "open_browser": True}),
    ]
