"""Predict many photos, and write their result images and one table."""

import csv
import io
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image
from tqdm import tqdm

from petseg.core.atomic_io import atomic_write
from petseg.core.errors import PetsegError
from petseg.core.parallel import parallel_map
from petseg.image_encoding import encode_image
from petseg.image_io import read_image_size, read_rgb
from petseg.photos.find_files import CUTOUT, MASK, OVERLAY, InputFile
from petseg.photos.outputs import cutout, mask_image, overlay
from petseg.photos.predictor import PhotoPrediction, Predictor

TABLE = "predictions.csv"
_MAX_BATCH_PIXELS = 50_000_000  # a larger photo forms a batch of its own
_MAX_JPEG_SIDE = 65_500
_DIGITS = 4


@dataclass(frozen=True)
class PhotoRow:
    """A row of the table."""

    photo: str
    width: int
    height: int
    seconds: float  # reading and predicting, averaged over the batch; without writing the results
    shares: dict[str, float]


@dataclass
class PredictedFiles:
    """The outcome for the photos so far."""

    rows: list[PhotoRow] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)  # an error message for each skipped photo


def predict_files(
    predictor: Predictor, files: Sequence[InputFile], out: Path, batch_size: int
) -> PredictedFiles:
    """Write each photo's mask, overlay and cutout and, after each batch, the table so far.

    Photos that can't be read are skipped.
    """
    done = PredictedFiles()
    with tqdm(total=len(files), desc="predict", unit="photo", disable=None) as bar:
        for batch in _batches(files, batch_size, done.skipped):
            _predict_batch(predictor, batch, out, done)
            atomic_write(out / TABLE, to_csv(done.rows, list(predictor.classes)))
            bar.update(len(done.rows) + len(done.skipped) - bar.n)
    return done


def _predict_batch(
    predictor: Predictor, batch: Sequence[InputFile], out: Path, done: PredictedFiles
) -> None:
    """Predict and write one batch. On return, none of its pixels are in memory."""
    start = time.perf_counter()
    read: list[tuple[InputFile, Image.Image]] = []
    for file in batch:
        try:
            read.append((file, read_rgb(file.path)))
        except PetsegError as error:
            done.skipped.append(str(error))
    predictions = predictor.predict_batch([image for _, image in read])
    seconds = (time.perf_counter() - start) / len(batch)

    def write(item: tuple[tuple[InputFile, Image.Image], PhotoPrediction]) -> PhotoRow:
        (file, image), prediction = item
        write_results(out / file.output_name, image, prediction)
        return PhotoRow(str(file.path), *image.size, seconds, prediction.shares)

    items = list(zip(read, predictions, strict=True))
    if len(items) == 1:  # possibly a large photo, whose memory another thread would allocate again
        done.rows.append(write(items[0]))
    else:  # resizing and encoding takes longer than predicting
        done.rows += parallel_map(write, items)


def write_results(stem: Path, photo: Image.Image, prediction: PhotoPrediction) -> list[Path]:
    """Write STEM_mask.png, STEM_overlay.jpg and, if a class is background, STEM_cutout.png."""
    written = [
        _write(stem, MASK, mask_image(prediction)),
        _write(stem, OVERLAY, overlay(photo, prediction), quality=92),
    ]
    cut = cutout(photo, prediction)
    if cut is not None:
        written.append(_write(stem, CUTOUT, cut, compress_level=3))
    return written


def to_csv(rows: Iterable[PhotoRow], class_names: list[str]) -> str:
    """Format the rows as CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        ["photo", "width", "height", "seconds", *(f"share.{name}" for name in class_names)]
    )
    for row in rows:
        shares = (round(row.shares[name], _DIGITS) for name in class_names)
        writer.writerow([row.photo, row.width, row.height, round(row.seconds, _DIGITS), *shares])
    return text.getvalue()


def _batches(
    files: Sequence[InputFile], batch_size: int, skipped: list[str]
) -> Iterator[list[InputFile]]:
    """Yield at most `batch_size` photos at a time, fewer if they are large."""
    batch: list[InputFile] = []
    pixels = 0
    for file in files:
        try:
            width, height = check_size(file.path)
        except PetsegError as error:
            skipped.append(str(error))
            continue
        if batch and (len(batch) == batch_size or pixels + width * height > _MAX_BATCH_PIXELS):
            yield batch
            batch, pixels = [], 0
        batch.append(file)
        pixels += width * height
    if batch:
        yield batch


def check_size(path: Path) -> tuple[int, int]:
    """Return width and height. Raises PetsegError if the results can't have this name or size."""
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise PetsegError(f"{str(path)!r} is not a UTF-8 file name; rename it.") from error
    width, height = read_image_size(path)
    if max(width, height) > _MAX_JPEG_SIDE:
        raise PetsegError(
            f"{path} is {width} x {height} pixels; shrink it to at most {_MAX_JPEG_SIDE} per side."
        )
    return width, height


def _write(stem: Path, ending: str, image: Image.Image, **options: int) -> Path:
    path = stem.with_name(stem.name + ending)
    atomic_write(path, encode_image(image, "JPEG" if ending == OVERLAY else "PNG", **options))
    return path
