"""The render stage: image grids and charts, with the same test images in every experiment."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from petseg.config.params import RenderParams, TtaParams
from petseg.config.paths import PipelinePaths
from petseg.core.atomic_io import atomic_directory, atomic_write
from petseg.core.hashing import unit_hash
from petseg.core.labels import BACKGROUND
from petseg.image_encoding import encode_image
from petseg.model.saved import load_model
from petseg.overlays import error_legend, overlay_errors, overlay_mask
from petseg.prediction.predict import Prediction, predict_split
from petseg.rendering.charts import draw_confusion, draw_curves
from petseg.rendering.image_grid import GridRow, draw_image_grid
from petseg.shards.manifest import Manifest, read_manifest

_BATCH_SIZE = 32
_TITLES = ("image", "truth", "prediction", "errors")


def render(params: RenderParams, tta: TtaParams, paths: PipelinePaths) -> None:
    """Draw example masks, grids of example, best and worst images, and charts.

    Masks are predicted with `tta`, as in the evaluate stage, at the model's resolution. The scores
    are those of the evaluate stage.
    """
    manifest, saved = read_manifest(paths.shards), load_model(paths.model)
    table = pd.read_csv(  # worst first
        paths.per_image, dtype={"file_name": str}, keep_default_na=False, na_values={"mean_iou": ""}
    ).dropna(subset=["mean_iou"])
    names = table["file_name"].tolist()
    examples = sample_by_hash(names, params.examples)
    worst, best = names[: params.worst], names[::-1][: params.best]
    selected = {*examples, *worst, *best}
    several_supercategories = table["supercategory"].nunique() > 1
    scores = dict(zip(names, table["mean_iou"], strict=True))  # at `evaluate.resolution`
    rows = {
        prediction.file_name: _grid_row(
            prediction, manifest, several_supercategories, scores[prediction.file_name]
        )
        for prediction in predict_split(
            saved, paths.shards, manifest, "test", _BATCH_SIZE, tta, file_names=selected
        )
    }
    with atomic_directory(paths.masks) as folder:
        for name, stem in _file_stems(examples).items():
            atomic_write(folder / f"{stem}.png", _draw_grid([rows[name]], manifest))
    for path, group in (
        (paths.examples_plot, examples),
        (paths.best_plot, best),
        (paths.worst_plot, worst),
    ):
        atomic_write(path, _draw_grid([rows[name] for name in group], manifest))
    atomic_write(paths.curves_plot, draw_curves(pd.read_csv(paths.history)))
    class_columns = dict.fromkeys(("truth", "prediction"), str)  # a class may be called 007
    confusion = pd.read_csv(paths.confusion, dtype=class_columns, keep_default_na=False)
    atomic_write(paths.confusion_plot, draw_confusion(confusion))


def sample_by_hash(names: Sequence[str], count: int) -> list[str]:
    """Sample names by their hashes, so that every experiment gets the same sample."""
    return sorted(sorted(names, key=lambda name: unit_hash("render", name))[:count])


def _file_stems(names: Sequence[str]) -> dict[str, str]:
    """Return a file stem for each image; of images that would share one, also with a hash."""
    stems = {name: _file_stem(name) for name in names}
    uses = Counter(stem.casefold() for stem in stems.values())
    return {
        name: stem if uses[stem.casefold()] == 1 else f"{stem}-{unit_hash(name):.12f}"
        for name, stem in stems.items()
    }


def _file_stem(name: str) -> str:
    """Turn an image's name into a file stem that every file system accepts."""
    stem = Path(name).with_suffix("").as_posix().replace("/", "__")
    return stem if len(stem.encode()) <= 200 else f"{stem[:50]}-{unit_hash(name):.12f}"


def _grid_row(
    prediction: Prediction, manifest: Manifest, several_supercategories: bool, score: float
) -> GridRow:
    drawn = prediction.for_drawing()
    image, truth, predicted = drawn.image, drawn.mask, drawn.predicted
    colors, background = list(manifest.classes.values()), manifest.background
    panels = [
        image,
        overlay_mask(image, truth, colors, background),
        overlay_mask(image, predicted, colors, background),
        overlay_errors(image, truth, predicted, background),
    ]
    group = prediction.category
    if several_supercategories:
        group += f", {prediction.supercategory}"
    return GridRow(panels, f"{prediction.file_name}   {group}   mean IoU {score:.3f}")


def _draw_grid(rows: Sequence[GridRow], manifest: Manifest) -> bytes:
    """Draw a grid with a legend of classes and errors, and encode it as PNG."""
    classes = {name: color for name, color in manifest.classes.items() if name != BACKGROUND}
    legend = classes | error_legend(manifest.background)
    return encode_image(draw_image_grid(_TITLES, rows, legend))
