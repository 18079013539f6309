"""The page of `petseg export-web`, served and driven in a browser."""

import base64
import functools
import http.server
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

_PATIENCE = 120  # seconds
_DROP = """
const bytes = Uint8Array.from(atob(arguments[0]), (letter) => letter.charCodeAt(0));
const dataTransfer = new DataTransfer();
dataTransfer.items.add(new File([bytes], arguments[1]));
const options = { dataTransfer, bubbles: true, cancelable: true };
document.body.dispatchEvent(new DragEvent("drop", options));
"""


class _Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serve(folder: Path) -> Iterator[str]:
    """Serve a folder as `python -m http.server` does, and yield its URL."""
    handler = functools.partial(_Handler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


class Page:
    """The open page. Downloads go to a folder."""

    def __init__(self, browser: webdriver.Chrome, url: str, downloads: Path) -> None:
        self.browser, self._downloads = browser, downloads
        behavior = {"behavior": "allow", "downloadPath": str(downloads)}
        browser.execute_cdp_cmd("Browser.setDownloadBehavior", behavior)
        browser.get(url)
        self.wait_for(lambda: self.status != "Loading the model …")

    def wait_for(self, condition: Callable[[], bool]) -> None:
        WebDriverWait(self.browser, _PATIENCE, 0.05).until(lambda _: condition())

    @property
    def status(self) -> str:
        return self.text_of("status")

    def text_of(self, name: str) -> str:
        return str(self.browser.find_element(By.ID, name).text)

    def click(self, name: str) -> None:
        self.browser.find_element(By.ID, name).click()

    def segment(self, photo: Path) -> None:
        """Choose a photo and wait for its result, or for an error."""
        self.browser.find_element(By.ID, "file").send_keys(str(photo))
        self.wait_for_result()

    def drop(self, photo: Path) -> None:
        """Drop a photo on the page, as far as a script can, and wait for its result."""
        self.browser.execute_script(
            _DROP, base64.b64encode(photo.read_bytes()).decode(), photo.name
        )
        self.wait_for_result()

    def wait_for_result(self) -> None:
        self.wait_for(lambda: not self.status.endswith("…"))

    def save(self, button: str, name: str) -> Path:
        """Click on a download and wait for the file."""
        file = self._downloads / name
        file.unlink(missing_ok=True)
        self.click(button)
        self.wait_for(file.exists)
        return file
