"""`petseg demo`: a local web page, made with Gradio, that segments the photos dropped on it.

Programs call its HTTP interface (docs/serving.md).
"""

import os
import shutil
import tempfile
from collections import deque
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from petseg.core.errors import PetsegError, explain_missing, first_line, translate
from petseg.images.files import IMAGE_SUFFIXES
from petseg.images.reading import read_rgb
from petseg.photos.find_files import RESULT_SUFFIXES
from petseg.photos.outputs import overlay
from petseg.photos.predict_files import check_size
from petseg.photos.prediction import PhotoPrediction
from petseg.photos.predictor import Predictor
from petseg.photos.result_files import write_results

_KEEP_LAST = 16  # predictions whose files stay available for download
_MAX_DISPLAY_SIDE = 2048  # pixels; the files for download keep the photo's own size

_ONE_BY_ONE: dict[str, Any] = {"concurrency_limit": 1, "concurrency_id": "predict"}
_API = "Segment a photo. Returns mask.png, overlay.jpg, cutout.png or null, and shares by class."


def import_gradio() -> Any:
    """Import Gradio with its telemetry off. Raises PetsegError if it isn't installed."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    with translate(partial(explain_missing, what="petseg demo", extra="demo")):
        import gradio
    return gradio


def build_demo(predictor: Predictor, folder: Path) -> Any:
    """Build the page without serving it.

    Results go to subfolders of `folder`; only the last few are kept.
    """
    gradio = import_gradio()
    results: deque[Path] = deque()

    def predict(file: str) -> tuple[Image.Image, PhotoPrediction, list[str]]:
        """Return the photo, its prediction and the paths of its result files."""
        try:
            check_size(Path(file), predictor.max_pixels)
            photo = read_rgb(Path(file), max_pixels=predictor.max_pixels)
        except PetsegError as error:
            message = str(error).replace(file, Path(file).name)
            raise gradio.Error(message, print_exception=False) from error
        [prediction] = predictor.predict_batch([photo], with_alpha=True)
        results.append(Path(tempfile.mkdtemp(dir=folder)))
        if len(results) > _KEEP_LAST:
            shutil.rmtree(results.popleft(), ignore_errors=True)
        stem = Path(file).stem.strip(".") or "photo"
        files = write_results(results[-1] / stem, photo, prediction)
        return photo, prediction, [str(path) for path in files]

    def show(file: str | None) -> tuple[Any, ...]:
        if file is None:
            return None, None, None
        photo, prediction, files = predict(file)
        slider = (_for_display(photo), _for_display(overlay(photo, prediction)))
        return slider, prediction.shares, files

    def segment(photo: str | None) -> tuple[str | None, str | None, str | None, dict[str, float]]:
        if photo is None:
            raise gradio.Error("No photo was sent.", print_exception=False)
        _, prediction, files = predict(photo)
        mask, overlaid, *cut = files
        return mask, overlaid, cut[0] if cut else None, prediction.shares

    with gradio.Blocks(title="petseg", analytics_enabled=False, delete_cache=(300, 300)) as page:
        gradio.Markdown("# petseg\nDrop a photo to find the pet in it.")
        with gradio.Row():  # a narrow screen stacks the columns in this order
            with gradio.Column(scale=1):
                # gradio.Image would decode files of any size and turn bad ones into a traceback.
                photo = gradio.File(
                    type="filepath", file_types=sorted(IMAGE_SUFFIXES), label="Photo"
                )
            with gradio.Column(scale=2):
                slider = gradio.ImageSlider(label="Photo and prediction", interactive=False)
        with gradio.Row():
            with gradio.Column(scale=1):
                shares = gradio.Label(label="Share of the photo", show_heading=False)
            with gradio.Column(scale=2):
                files = gradio.File(label="Mask, overlay, cutout", interactive=False)
        photo.change(show, photo, [slider, shares, files], api_visibility="private", **_ONE_BY_ONE)
        kinds = [gradio.File(label=kind, visible=False) for kind in RESULT_SUFFIXES]
        gradio.Button(visible=False).click(
            segment,
            photo,
            [*kinds, gradio.JSON(label="shares", visible=False)],
            api_name="segment",
            api_description=_API,
            **_ONE_BY_ONE,
        )
    return page


def serve(
    predictor: Predictor, host: str, port: int, *, max_upload_mb: int, open_browser: bool
) -> None:
    """Serve the page until Ctrl+C. Raises PetsegError if Gradio is missing or the port is taken."""
    gradio = import_gradio()
    theme = gradio.themes.Default(  # with local fonts only: nothing is fetched from the web
        font=["system-ui", "sans-serif"], font_mono=["monospace"]
    )
    with tempfile.TemporaryDirectory() as folder:
        page = build_demo(predictor, Path(folder))
        try:
            _, url, _ = page.launch(
                server_name=host,
                server_port=port,
                max_file_size=f"{max_upload_mb}mb",
                inbrowser=open_browser,
                share=False,
                ssr_mode=False,
                quiet=True,
                footer_links=[],
                theme=theme,
                prevent_thread_lock=True,
            )
        except Exception as error:  # Gradio requests its own URL, through any proxy
            page.close()
            raise PetsegError(
                f"Can't serve on {host}:{port} ({first_line(error)}); choose another --port, or "
                f"add {host} to NO_PROXY if you use a proxy."
            ) from error
        print(f"{url} (press Ctrl+C to stop)", flush=True)
        page.block_thread()


def _for_display(image: Image.Image) -> Image.Image:
    """Return a copy small enough for a browser to show quickly."""
    small = image.copy()
    small.thumbnail((_MAX_DISPLAY_SIDE, _MAX_DISPLAY_SIDE))
    return small
