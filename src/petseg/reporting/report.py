"""The report stage: reports/index.html, which works offline, and the model card.

Neither contains a time or a machine name, so the same run gives the same bytes.
"""

import html
import math
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from petseg.config.params import Params
from petseg.config.paths import PipelinePaths
from petseg.core.atomic_io import atomic_write
from petseg.model.saved import load_model
from petseg.reporting.gallery import build_gallery, data_url
from petseg.reporting.report_data import Estimate, collect_report_data, read_table
from petseg.shards.manifest import read_manifest


def report(params: Params, paths: PipelinePaths) -> None:
    """Write the page and the card. Raises PetsegError if the model doesn't fit the data."""
    manifest, saved = read_manifest(paths.shards), load_model(paths.model)
    data = collect_report_data(params, paths, manifest, saved)
    per_image = read_table(paths.per_image, "file_name", "category", "supercategory")
    gallery = build_gallery(
        per_image, params.report.images, saved, paths.shards, manifest, params.evaluate.tta
    )
    curves = data_url(paths.curves_plot.read_bytes(), "image/png")
    templates = template_environment()
    page = templates.get_template("index.html.jinja")
    atomic_write(paths.page, page.render(data=data, gallery=gallery, curves=curves))
    card = templates.get_template("model_card.md.jinja")
    atomic_write(paths.model_card, card.render(data=data))


def template_environment() -> Environment:
    """Return the templates; those for HTML escape all values."""
    templates = Environment(
        loader=PackageLoader("petseg.reporting", "templates"),
        autoescape=lambda name: name is not None and ".html" in name,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    templates.globals["zip"] = zip
    templates.filters |= {
        "score": format_score,
        "interval": format_interval,
        "delta": format_delta,
        "percent": format_percent,
        "cell": format_cell,
    }
    return templates


def format_score(value: float | None) -> str:
    """Format a score with four digits, or as a dash if it is undefined."""
    return "–" if value is None or math.isnan(value) else f"{value:.4f}"


def format_delta(value: float | None) -> str:
    """Format a difference with its sign and four digits, or as a dash if it is undefined."""
    return "–" if value is None else f"{value:+.4f}"


def format_interval(estimate: Estimate) -> str:
    """Format an estimate's bounds, or a dash if they are undefined."""
    if math.isnan(estimate.lower):
        return "–"
    return f"{format_score(estimate.lower)}–{format_score(estimate.upper)}"


def format_percent(share: float) -> str:
    return f"{share:.1%}"


def format_cell(text: Any) -> str:
    """Escape text for a Markdown table cell: one line, no HTML markup."""
    escaped = html.escape(str(text), quote=False).replace("\\", "\\\\").replace("|", "\\|")
    return " ".join(escaped.split())
