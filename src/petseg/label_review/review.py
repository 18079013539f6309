"""Score the masks of the training and validation splits, and write the table and the page."""

import heapq
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from jinja2 import PackageLoader
from tqdm import tqdm

from petseg.batches import example_batches, read_batches
from petseg.config.params import Params
from petseg.config.paths import PipelinePaths
from petseg.config.types import PRETRAINED
from petseg.config.validation import read_yaml
from petseg.core.atomic_io import atomic_write
from petseg.core.errors import PetsegError, first_line, translate
from petseg.core.locks import exclusive_lock
from petseg.evaluation.tables import write_table
from petseg.label_review.folds import FOLD, Fold, train_folds
from petseg.label_review.judge import Mask, judge
from petseg.model.saved import MODEL_FILE, load_model
from petseg.overlays import RgbImage, overlay_mask
from petseg.own_files import require_own_file
from petseg.prediction.predict import check_model_fits, keras_predict_fn
from petseg.reporting.gallery import image_data_url
from petseg.reporting.report import template_environment
from petseg.shards.manifest import Manifest, open_shards, read_manifest
from petseg.training.cluster import read_worker
from petseg.training.devices import set_intra_op_threads

TABLE, PAGE = "label_review.csv", "label_review.html"
_COLUMNS = ["file_name", "split", "score", "finding", "scored_by"]
_PAGE_START = "<!doctype html>\n<!-- written by petseg review -->"
_LOCK_FILE = Path("dvc.lock")
_FOLDER = Path(".cache/review")  # one fold's shards and model at a time
_REVIEW_LOCK = Path(".cache/review.lock")
_DIGITS = 4


@dataclass(frozen=True)
class Reviewed:
    """A mask with its score, and what the page shows of it."""

    file_name: str
    split: str
    score: float
    finding: str
    scored_by: str
    image: RgbImage
    mask: Mask
    predicted: Mask

    @property
    def row(self) -> tuple[str, str, float, str, str]:
        return (self.file_name, self.split, self.score, self.finding, self.scored_by)


def review_labels(
    params: Params, paths: PipelinePaths, out: Path, num_folds: int, num_images: int
) -> pd.DataFrame:
    """Write the table of all masks, most suspicious first, and the page with the first ones.

    Without folds, the trained model judges the masks that it was trained on; it doesn't replace a
    table that was scored out of fold. With folds, models are trained out of fold, which deletes
    their checkpoints at the end. Columns that a user has added to the table stay. Raises
    PetsegError, also if another review runs in this folder.
    """
    with exclusive_lock(_REVIEW_LOCK, "reviewing the labels in this folder"):
        return _review(params, paths, out, num_folds, num_images)


def _review(
    params: Params, paths: PipelinePaths, out: Path, num_folds: int, num_images: int
) -> pd.DataFrame:
    require_own_file(out / TABLE, ",".join(_COLUMNS))
    require_own_file(out / PAGE, _PAGE_START)
    if num_folds and read_worker().num_workers > 1:
        raise PetsegError("petseg review trains on one machine; unset TF_CONFIG.")
    manifest = read_manifest(paths.shards)
    earlier = _read_earlier(out / TABLE)
    if not num_folds and earlier["scored_by"].str.startswith(FOLD).any():
        raise PetsegError(
            f"{out / TABLE} was scored with --folds, which finds more; use another --out, or move "
            "the file."
        )
    own_columns = earlier.drop(columns=_COLUMNS[1:]).drop_duplicates("file_name")
    checkpoints: list[Path] = []
    if num_folds:
        _require_shards_of(params, manifest)
        if note := _note_on_earlier_model(params.model.weights):
            print(note, flush=True)
        set_intra_op_threads(params.train.intra_op_threads)  # reading shards starts TensorFlow
        folds = train_folds(params, paths.shards, num_folds, _FOLDER, checkpoints.append)
    else:
        folds = _own_model(paths, manifest)
    rows: list[tuple[str, str, float, str, str]] = []

    def reviewed() -> Iterator[Reviewed]:
        for fold in folds:
            for item in _review_fold(fold, manifest, params.evaluate.batch_size):
                rows.append(item.row)
                yield item

    first = heapq.nsmallest(num_images, reviewed(), key=lambda item: (-item.score, item.file_name))
    table = pd.DataFrame(rows, columns=_COLUMNS)
    table = table.sort_values(["score", "file_name"], ascending=[False, True], ignore_index=True)
    table = table.merge(own_columns, "left", "file_name").fillna(dict.fromkeys(own_columns, ""))
    write_table(out / TABLE, table)
    atomic_write(out / PAGE, _page(first, manifest, len(table), num_folds))
    if num_folds:
        for folder in (*checkpoints, _FOLDER):
            shutil.rmtree(folder, ignore_errors=True)
    return table


def _read_earlier(path: Path) -> pd.DataFrame:
    """Return an earlier table, with the columns that a user has added, as texts."""
    if not path.exists():
        return pd.DataFrame(columns=_COLUMNS, dtype=str)
    with translate(lambda error: f"{path} can't be read ({first_line(error)}); move or fix it."):
        return pd.read_csv(path, dtype=str, keep_default_na=False)


def _require_shards_of(params: Params, manifest: Manifest) -> None:
    """Raise PetsegError if the shards come from other parameters, by the manifest or dvc.lock."""
    preprocess = params.preprocess
    given = (params.dataset.name, preprocess.image_size, preprocess.resize, preprocess.tiles)
    locked = {}
    with suppress(PetsegError, LookupError, TypeError):  # without DVC, or before its first run
        locked = read_yaml(_LOCK_FILE)["stages"]["preprocess"]["params"]["params.yaml"]
    try:
        same = Params.model_validate(params.model_dump() | locked) == params
    except ValueError:  # of an older version
        same = False
    same &= given == (manifest.dataset, manifest.image_size, manifest.resize, manifest.tiles)
    if not same:
        raise PetsegError(
            "data/tfrecords was made with other parameters than those of params.yaml; run dvc "
            "repro preprocess, or restore params.yaml."
        )


def _note_on_earlier_model(weights: str) -> str | None:
    """Name the trained model that each fold's training starts from: it may have seen its masks."""
    if weights not in PRETRAINED and not Path(weights, MODEL_FILE).is_file():
        return None
    return (
        f"Each training starts from {weights}. If that was trained on these masks, it may have "
        "learned their mistakes, so that fewer are found; then change model.weights."
    )


def _own_model(paths: PipelinePaths, manifest: Manifest) -> Iterator[Fold]:
    saved = load_model(paths.model)
    check_model_fits(saved, manifest)
    same_val = saved.origin and saved.origin.val_sha256 == manifest.checksum("val")
    seen = {"train": " (trained on it)", "val": "" if same_val else " (may be trained on it)"}
    for split in ("train", "val"):
        name = f"{paths.model}{seen[split]}"
        shards = open_shards(paths.shards, manifest, split)
        yield Fold(name, saved, shards, [split] * shards.num_examples)


def _review_fold(fold: Fold, manifest: Manifest, batch_size: int) -> Iterator[Reviewed]:
    predict = keras_predict_fn(fold.model.network, manifest.image_size)
    total = fold.shards.num_examples
    tiled = manifest.tiles is not None
    unit = "tile" if tiled else "image"
    with tqdm(total=total, desc=f"review by {fold.name}", unit=unit, disable=None) as progress:
        for batch in read_batches(example_batches(fold.shards, batch_size, tiled=tiled)):
            images, masks = batch["image"].numpy(), batch["mask"].numpy()
            indices = batch["index"].numpy()
            names = [name.decode() for name in batch["file_name"].numpy()]
            if tiled:
                corners = zip(batch["left"].numpy(), batch["top"].numpy(), strict=True)
                names = [
                    f"{name} ({left}, {top})"
                    for name, (left, top) in zip(names, corners, strict=True)
                ]
            for index, name, image, mask, probabilities in zip(
                indices, names, images, masks, predict(images), strict=True
            ):
                verdict = judge(mask, probabilities, manifest.class_names, manifest.background)
                yield Reviewed(
                    file_name=name,
                    split=fold.splits[index],
                    score=round(verdict.score, _DIGITS),
                    finding=verdict.finding,
                    scored_by=fold.name,
                    image=image,
                    mask=mask,
                    predicted=probabilities.argmax(-1).astype("uint8"),
                )
            progress.update(len(names))


def _page(first: list[Reviewed], manifest: Manifest, num_masks: int, num_folds: int) -> str:
    colors = list(manifest.classes.values())
    rows = [
        (
            item,
            *(
                image_data_url(panel)
                for panel in (
                    item.image,
                    overlay_mask(item.image, item.mask, colors, manifest.background),
                    overlay_mask(item.image, item.predicted, colors, manifest.background),
                )
            ),
        )
        for item in first
    ]
    loader = PackageLoader("petseg.label_review", "templates")
    template = template_environment().overlay(loader=loader).get_template("label_review.html.jinja")
    return _PAGE_START + template.render(
        rows=rows, manifest=manifest, num_masks=num_masks, num_folds=num_folds, table=TABLE
    )
