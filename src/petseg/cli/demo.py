"""The command `petseg demo`."""

import click

from petseg.cli.options import model_option, report_errors, tta_flip_option, tta_scale_option


@click.command()
@model_option
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Use 0.0.0.0 to give others on your network access.",
)
@click.option("--port", type=click.IntRange(1, 65535), default=7860, show_default=True)
@click.option(
    "--max-upload",
    "max_upload_mb",
    type=click.IntRange(1, 1024),
    default=50,
    show_default=True,
    metavar="MB",
    help="Largest photo to accept.",
)
@click.option("--open/--no-open", "open_browser", default=False, help="Open your browser.")
@tta_flip_option
@tta_scale_option
def demo(
    model: str | None,
    host: str,
    port: int,
    max_upload_mb: int,
    open_browser: bool,
    tta_flip: bool,
    tta_scales: tuple[float, ...],
) -> None:
    """Serve a local page where you drop photos, view their masks and download the results.

    \b
      petseg demo --open
      petseg demo --model models/exported/unet.onnx --port 8000
    """
    with report_errors("petseg demo", "close other programs, or use smaller photos"):
        from petseg.photos.demo import import_gradio, serve
        from petseg.photos.predictor import load

        import_gradio()  # fails fast, before the model is loaded
        predictor = load(model, tta_flip, tta_scales)
        serve(predictor, host, port, max_upload_mb=max_upload_mb, open_browser=open_browser)
