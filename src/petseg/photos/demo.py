"""`petseg demo`: a local page on which a photo is dropped and its mask comes back. Gradio makes the page."""

import os
import shutil
import tempfile
from collections import deque
from pathlib import Path
from typing import Any

from PIL import Image

from petseg.core.errors import PetsegError, first_line
from petseg.image_io import SUFFIXES, read_rgb
from petseg.photos.outputs import overlay
from petseg.photos.predict_files import size_of, write_results
from petseg.photos.predictor import Predictor

_KEPT = 16  # predictions whose files are still there; whoever has the page open has long had his
_MAX_DISPLAY_SIDE = (
    2048  # pixels a side that are shown at most; the files have the photo's own size
)


def import_gradio() -> Any:
    """Gradio, told not to phone home. Raises PetsegError if it isn't installed."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    try:
        import gradio
    except ImportError as error:
        raise PetsegError(
            "petseg demo needs Gradio, which isn't installed here; run pip install 'gradio>=6', then petseg demo again."
        ) from error
    return gradio


def build_demo(predictor: Predictor, folder: Path) -> Any:
    """The page, not yet served. Results are written below the folder, and removed when newer ones have come."""
    gradio = import_gradio()
    results: deque[Path] = deque()

    def segment(file: str | None) -> tuple[Any, ...]:
        if file is None:
            return None, None, None
        try:
            size_of(Path(file))
            photo = read_rgb(Path(file))
        except PetsegError as mistake:
            sentence = str(mistake).replace(file, Path(file).name)
            raise gradio.Error(sentence, print_exception=False) from mistake
        prediction = predictor.predict(photo)
        results.append(Path(tempfile.mkdtemp(dir=folder)))
        if len(results) > _KEPT:
            shutil.rmtree(results.popleft(), ignore_errors=True)
        files = write_results(
            results[-1] / (Path(file).stem.strip(".") or "photo"), photo, prediction
        )
        shown = (_reduced(photo), _reduced(overlay(photo, prediction)))
        return shown, prediction.shares, [str(path) for path in files]

    with gradio.Blocks(title="petseg", analytics_enabled=False, delete_cache=(300, 300)) as page:
        gradio.Markdown("# petseg\nDrop a photo: which of its pixels are what?")
        with gradio.Row():  # on a phone all lie below each other, in this order
            with gradio.Column(scale=1):
                # gradio.Image would open the photo itself, whatever its size, and turn a mistake into a traceback.
                photo = gradio.File(type="filepath", file_types=sorted(SUFFIXES), label="Photo")
            with gradio.Column(scale=2):
                slider = gradio.ImageSlider(label="Photo and prediction", interactive=False)
        with gradio.Row():
            with gradio.Column(scale=1):
                shares = gradio.Label(label="Share of the photo", show_heading=False)
            with gradio.Column(scale=2):
                files = gradio.File(label="Mask, overlay, cut-out", interactive=False)
        photo.change(segment, photo, [slider, shares, files], api_name="segment")
    return page


def serve(
    predictor: Predictor, host: str, port: int, most_megabytes: int, in_browser: bool
) -> None:
    """Until Ctrl+C. Raises PetsegError if Gradio is missing or the port is taken."""
    gradio = import_gradio()
    plain = gradio.themes.Default(
        font=["system-ui", "sans-serif"], font_mono=["monospace"]
    )  # none from elsewhere
    with tempfile.TemporaryDirectory() as folder:
        page = build_demo(predictor, Path(folder))
        try:
            _, address, _ = page.launch(
                server_name=host,
                server_port=port,
                max_file_size=f"{most_megabytes}mb",
                inbrowser=in_browser,
                share=False,
                ssr_mode=False,
                quiet=True,
                footer_links=[],
                theme=plain,
                prevent_thread_lock=True,
            )
        except Exception as error:  # Gradio asks its own address, through a proxy if there is one
            page.close()
            raise PetsegError(
                f"{host}:{port} can't be served ({first_line(error)}); take another --port, or put {host} into "
                "NO_PROXY if you are behind a proxy."
            ) from error
        print(f"{address} (Ctrl+C ends it)", flush=True)
        page.block_thread()


def _reduced(picture: Image.Image) -> Image.Image:
    """A copy that a browser shows quickly."""
    small = picture.copy()
    small.thumbnail((_MAX_DISPLAY_SIDE, _MAX_DISPLAY_SIDE))
    return small
