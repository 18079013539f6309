"""The stage render: pictures of what the model does, the same test pictures in every experiment."""

import io
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from petseg.classes import BACKGROUND
from petseg.confusion import mean_iou
from petseg.evaluation.predict import Prediction, predict_split
from petseg.files import whole_folder, write_whole
from petseg.hashing import unit_hash
from petseg.model.saved import load_model
from petseg.params import RenderParams, TtaParams
from petseg.records.manifest import Manifest, read_manifest
from petseg.rendering.charts import draw_confusion, draw_curves
from petseg.rendering.overlays import error_kinds, show_errors, show_mask
from petseg.rendering.sheets import Row, draw_sheet

_BATCH = 32
_TITLES = ("photo", "truth", "prediction", "errors")


@dataclass(frozen=True)
class RenderInputs:
    """What the stage reads."""

    records: Path
    model: Path
    per_image: Path
    history: Path
    confusion: Path


def render(params: RenderParams, tta: TtaParams, inputs: RenderInputs, plots_dir: Path) -> None:
    """Write masks/*.png, examples.png, best.png, worst.png, curves.png and confusion.png to `plots_dir`.

    The masks are predicted as the stage evaluate does it with `tta`, at the model's resolution.
    """
    manifest = read_manifest(inputs.records)
    table = pd.read_csv(inputs.per_image).dropna(subset=["mean_iou"])  # the worst first
    names = [str(name) for name in table["file_name"]]
    examples = fixed_choice(names, params.examples)
    worst, best = names[: params.worst], names[::-1][: params.best]

    saved, chosen = load_model(inputs.model), set(examples + worst + best)
    predictions = {
        prediction.file_name: prediction
        for prediction in predict_split(saved, inputs.records, manifest, "test", _BATCH, tta, only=chosen)
    }
    with whole_folder(plots_dir / "masks") as folder:
        for name in examples:
            write_whole(folder / f"{_file_name(name)}.png", _sheet([predictions[name]], manifest))
    for title, group in (("examples", examples), ("best", best), ("worst", worst)):
        write_whole(plots_dir / f"{title}.png", _sheet([predictions[name] for name in group], manifest))
    write_whole(plots_dir / "curves.png", draw_curves(pd.read_csv(inputs.history)))
    write_whole(plots_dir / "confusion.png", draw_confusion(pd.read_csv(inputs.confusion, keep_default_na=False)))


def fixed_choice(names: list[str], count: int) -> list[str]:
    """So many of the names, by a hash of each: the same ones whatever the model made of them."""
    return sorted(sorted(names, key=lambda name: unit_hash("render", name))[:count])


def _file_name(name: str) -> str:
    """A picture's name without folders and suffix, cut to what every file system takes."""
    flat = Path(name).with_suffix("").as_posix().replace("/", "__")
    return flat if len(flat.encode()) <= 200 else f"{flat[:50]}-{unit_hash(name):.12f}"


def _sheet(predictions: list[Prediction], manifest: Manifest) -> bytes:
    """A sheet of pictures as a PNG."""
    colours = list(manifest.classes.values())
    background = manifest.background
    rows = [
        Row(
            [
                p.image,
                show_mask(p.image, p.mask, colours, background),
                show_mask(p.image, p.predicted, colours, background),
                show_errors(p.image, p.mask, p.predicted, background),
            ],
            f"{p.file_name}   {p.breed}, {p.species}   mean IoU {mean_iou(p.confusion):.3f}",
        )
        for p in predictions
    ]
    shown = {name: colour for name, colour in manifest.classes.items() if name != BACKGROUND}
    png = io.BytesIO()
    draw_sheet(_TITLES, rows, shown | error_kinds(background)).save(png, "PNG")
    return png.getvalue()
