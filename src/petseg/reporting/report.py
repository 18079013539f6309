"""The stage report: reports/index.html, which opens offline anywhere, and the model's card.

Nothing in either depends on the clock or the machine's name: the same run gives the same bytes.
"""

import html
import math
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from petseg.config.params import Params
from petseg.config.paths import PipelinePaths
from petseg.core.atomic_io import atomic_write
from petseg.model.saved import load_model
from petseg.reporting.gallery import data_address, show_all
from petseg.reporting.report_data import Interval, gather, read_table
from petseg.shards.manifest import read_manifest


def report(params: Params, paths: PipelinePaths) -> None:
    """Write both. Raises PetsegError if model and data don't fit together."""
    manifest, saved = read_manifest(paths.shards), load_model(paths.model)
    facts = gather(params, paths, manifest, saved)
    per_image = read_table(paths.per_image, "file_name", "category", "supercategory")
    gallery = show_all(
        per_image, params.report.images, saved, paths.shards, manifest, params.evaluate.tta
    )
    curves = data_address(paths.curves_plot.read_bytes(), "image/png")
    templates = environment()
    for path, template in (
        (paths.page, "index.html.jinja"),
        (paths.model_card, "model_card.md.jinja"),
    ):
        text = templates.get_template(template).render(facts=facts, gallery=gallery, curves=curves)
        atomic_write(path, text)


def environment() -> Environment:
    """The templates beside this module; in HTML whatever a file is called is text, never markup."""
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
        "score": score,
        "interval": interval,
        "change": change,
        "percent": percent,
        "cell": cell,
    }
    return templates


def score(value: float | None) -> str:
    """Four digits; a dash for what is undefined."""
    return "–" if value is None or math.isnan(value) else f"{value:.4f}"


def change(value: float | None) -> str:
    """Four digits with their sign; a dash for what is undefined."""
    return "–" if value is None else f"{value:+.4f}"


def interval(bounds: Interval) -> str:
    """The bounds as text."""
    return "–" if math.isnan(bounds.low) else f"{score(bounds.low)}–{score(bounds.high)}"


def percent(share: float) -> str:
    return f"{share:.1%}"


def cell(text: Any) -> str:
    """Text as it may stand in a cell of a Markdown table: on one line, without markup of HTML's."""
    return " ".join(
        html.escape(str(text), quote=False).replace("\\", "\\\\").replace("|", "\\|").split()
    )
