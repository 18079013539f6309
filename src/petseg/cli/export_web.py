"""The command `petseg export-web`."""

from pathlib import Path

import click

from petseg.cli.options import PATH, report_errors
from petseg.config.paths import PipelinePaths
from petseg.photos.find_model import find_model


@click.command("export-web")
@click.argument("out", type=PATH, metavar="DIR")
@click.option(
    "--model",
    type=click.Path(),
    show_default=f"{PipelinePaths.exported}, or pets if there is none",
    metavar="DIR|FILE|pets",
    help="A folder of exported files with an ONNX file, that file, or the model that comes with "
    "petseg: pets.",
)
def export_web(out: Path, model: str | None) -> None:
    """Write a static page that segments photos, or the camera, in the visitor's browser.

    \b
      petseg export-web site
      python -m http.server --directory site    (then open http://localhost:8000)

    Any web server can serve the folder. Visitors' photos stay on their devices. ONNX Runtime Web
    comes from the npm registry when the page is written, so this needs npm; later, nothing is
    loaded from elsewhere. It replaces a page that petseg export-web wrote earlier. It never
    replaces other files.
    """
    with report_errors("petseg export-web"):
        from petseg.web.export_web import export_web

        site = export_web(find_model(model, PipelinePaths.exported), out)
    click.echo(
        f"Wrote {site.folder}: {site.total_bytes / 1e6:.1f} MB, of which ONNX Runtime Web "
        f"{site.runtime_bytes / 1e6:.1f} MB and the model {site.model_bytes / 1e6:.1f} MB.\n"
        "Browsers don't run it from a file; serve it, then open http://localhost:8000:\n"
        f"  python -m http.server --directory {site.folder}"
    )
