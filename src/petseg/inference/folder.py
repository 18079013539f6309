"""Many photos in a row: what is made of each, written beside one table of them all."""

import csv
import io
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from tqdm import tqdm

from petseg.datasets.pictures import read_rgb
from petseg.errors import PetsegError
from petseg.files import write_whole
from petseg.inference.outputs import cutout, mask_picture, overlay
from petseg.inference.photos import Found
from petseg.inference.predictor import Prediction, Predictor

_MOST_PIXELS = 50_000_000  # of all photos in memory at a time
_DIGITS = 4


@dataclass(frozen=True)
class Row:
    """A line of predictions.csv."""

    photo: str
    width: int
    height: int
    seconds: float  # from reading the photo to the prediction, for photos of a batch in equal parts
    shares: dict[str, float]


def predict_photos(
    predictor: Predictor, photos: Sequence[Found], out: Path, batch_size: int
) -> tuple[list[Row], list[str]]:
    """Write mask, overlay and cut-out of each photo and, at the end, predictions.csv: (its rows, what was wrong).

    A photo that can't be read is left out, and said in a sentence.
    """
    rows: list[Row] = []
    mistakes: list[str] = []
    with tqdm(total=len(photos), desc="predict", unit="photo", disable=None) as bar:
        for batch in _batches(photos, batch_size, mistakes):
            bar.update(len(rows) + len(mistakes) - bar.n)
            start = time.perf_counter()
            predictions = predictor.predict_batch([image for _, image, _ in batch])
            each = (time.perf_counter() - start) / len(batch)
            for (found, image, reading), prediction in zip(batch, predictions, strict=True):
                write_outputs(out / found.name, image, prediction)
                rows.append(Row(str(found.path), *image.size, reading + each, prediction.shares))
                bar.update()
        bar.update(len(photos) - bar.n)
    write_whole(out / "predictions.csv", table_of(rows, list(predictor.classes)))
    return rows, mistakes


def write_outputs(stem: Path, photo: Image.Image, prediction: Prediction) -> None:
    """STEM_mask.png, STEM_overlay.jpg and, if there is a background to take away, STEM_cutout.png."""
    _write(stem, "_mask.png", mask_picture(prediction), optimize=False)
    _write(stem, "_overlay.jpg", overlay(photo, prediction), quality=92)
    cut = cutout(photo, prediction)
    if cut is not None:
        _write(stem, "_cutout.png", cut, compress_level=3)


def table_of(rows: Iterable[Row], class_names: list[str]) -> str:
    """The rows as CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["photo", "width", "height", "seconds", *(f"share.{name}" for name in class_names)])
    for row in rows:
        shares = (round(row.shares[name], _DIGITS) for name in class_names)
        writer.writerow([row.photo, row.width, row.height, round(row.seconds, _DIGITS), *shares])
    return text.getvalue()


def _batches(
    photos: Sequence[Found], batch_size: int, mistakes: list[str]
) -> Iterator[list[tuple[Found, Image.Image, float]]]:
    """(photo, its picture, the seconds it took to read): at most so many at a time, fewer if they are large."""
    batch: list[tuple[Found, Image.Image, float]] = []
    pixels = 0
    for found in photos:
        start = time.perf_counter()
        try:
            image = read_rgb(found.path)
        except PetsegError as mistake:
            mistakes.append(str(mistake))
            continue
        size = image.width * image.height
        if batch and (len(batch) == batch_size or pixels + size > _MOST_PIXELS):
            yield batch
            batch, pixels = [], 0
        batch.append((found, image, time.perf_counter() - start))
        pixels += size
    if batch:
        yield batch


def _write(stem: Path, ending: str, picture: Image.Image, **options: int) -> None:
    content = io.BytesIO()
    picture.save(content, "JPEG" if ending.endswith(".jpg") else "PNG", **options)
    write_whole(stem.with_name(stem.name + ending), content.getvalue())
