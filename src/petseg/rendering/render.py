"""The stage render: pictures of what the model does, the same test pictures in every experiment."""

from pathlib import Path

import pandas as pd

from petseg.config.params import RenderParams, TtaParams
from petseg.config.paths import PipelinePaths
from petseg.core.atomic_io import atomic_directory, atomic_write
from petseg.core.hashing import unit_hash
from petseg.core.labels import BACKGROUND
from petseg.image_encoding import encode_image
from petseg.metrics import mean_iou
from petseg.model.saved import load_model
from petseg.overlays import error_legend, overlay_errors, overlay_mask
from petseg.prediction.predict import Prediction, predict_split
from petseg.rendering.charts import draw_confusion, draw_curves
from petseg.rendering.image_grid import GridRow, draw_image_grid
from petseg.shards.manifest import Manifest, read_manifest

_BATCH = 32
_TITLES = ("photo", "truth", "prediction", "errors")


def render(params: RenderParams, tta: TtaParams, paths: PipelinePaths) -> None:
    """Draw the masks, the grids of examples, the best and the worst images, and the charts.

    The masks are predicted as the stage evaluate does it with `tta`, at the model's resolution.
    """
    manifest = read_manifest(paths.shards)
    table = pd.read_csv(paths.per_image).dropna(subset=["mean_iou"])  # the worst first
    names = [str(name) for name in table["file_name"]]
    examples = sample_by_hash(names, params.examples)
    worst, best = names[: params.worst], names[::-1][: params.best]

    saved, chosen = load_model(paths.model), set(examples + worst + best)
    predictions = {
        prediction.file_name: prediction
        for prediction in predict_split(
            saved, paths.shards, manifest, "test", _BATCH, tta, file_names=chosen
        )
    }
    with atomic_directory(paths.masks) as folder:
        for name in examples:
            atomic_write(folder / f"{_file_name(name)}.png", _sheet([predictions[name]], manifest))
    for path, group in (
        (paths.examples_plot, examples),
        (paths.best_plot, best),
        (paths.worst_plot, worst),
    ):
        atomic_write(path, _sheet([predictions[name] for name in group], manifest))
    atomic_write(paths.curves_plot, draw_curves(pd.read_csv(paths.history)))
    atomic_write(
        paths.confusion_plot,
        draw_confusion(pd.read_csv(paths.confusion, keep_default_na=False)),
    )


def sample_by_hash(names: list[str], count: int) -> list[str]:
    """So many of the names, by a hash of each: the same ones whatever the model made of them."""
    return sorted(sorted(names, key=lambda name: unit_hash("render", name))[:count])


def _file_name(name: str) -> str:
    """A picture's name without folders and suffix, cut to what every file system takes."""
    flat = Path(name).with_suffix("").as_posix().replace("/", "__")
    return flat if len(flat.encode()) <= 200 else f"{flat[:50]}-{unit_hash(name):.12f}"


def _sheet(predictions: list[Prediction], manifest: Manifest) -> bytes:
    """A sheet of pictures as a PNG."""
    colors = list(manifest.classes.values())
    background = manifest.background
    rows = [
        GridRow(
            [
                p.image,
                overlay_mask(p.image, p.mask, colors, background),
                overlay_mask(p.image, p.predicted, colors, background),
                overlay_errors(p.image, p.mask, p.predicted, background),
            ],
            f"{p.file_name}   {p.category}, {p.supercategory}   mean IoU {mean_iou(p.confusion):.3f}",
        )
        for p in predictions
    ]
    shown = {name: color for name, color in manifest.classes.items() if name != BACKGROUND}
    return encode_image(draw_image_grid(_TITLES, rows, shown | error_legend(background)))
