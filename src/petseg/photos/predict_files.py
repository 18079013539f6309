"""Many photos in a row: what is made of each, written beside one table of them all."""

import csv
import io
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image
from tqdm import tqdm

from petseg.core.atomic_io import atomic_write
from petseg.core.errors import PetsegError
from petseg.image_encoding import encode_image
from petseg.image_io import read_image_size, read_rgb
from petseg.photos.find_files import CUTOUT, MASK, OVERLAY, Found
from petseg.photos.outputs import cutout, mask_image, overlay
from petseg.photos.predictor import PhotoPrediction, Predictor

TABLE = "predictions.csv"
_MAX_PIXELS = 50_000_000  # of a batch of several photos; a larger one goes alone
_JPEG_SIDE = 65_500  # pixels that a JPEG can have at most
_DIGITS = 4


@dataclass(frozen=True)
class PhotoRow:
    """A line of the table."""

    photo: str
    width: int
    height: int
    seconds: (
        float  # to read and predict it, a batch's time in equal parts; not to write its results
    )
    shares: dict[str, float]


@dataclass
class Done:
    """What has become of the photos so far."""

    rows: list[PhotoRow] = field(default_factory=list)
    mistakes: list[str] = field(default_factory=list)  # a sentence for each photo that was left out


def predict_photos(
    predictor: Predictor, photos: Sequence[Found], out: Path, batch_size: int
) -> Done:
    """Write mask, overlay and cut-out of each photo, and after each batch the table of all photos so far.

    A photo that can't be read is left out, and said in a sentence.
    """
    done = Done()
    with tqdm(total=len(photos), desc="predict", unit="photo", disable=None) as bar:
        for batch in _batches(photos, batch_size, done.mistakes):
            _predict_batch(predictor, batch, out, done)
            atomic_write(out / TABLE, table_of(done.rows, list(predictor.classes)))
            bar.update(len(done.rows) + len(done.mistakes) - bar.n)
    return done


def _predict_batch(predictor: Predictor, batch: Sequence[Found], out: Path, done: Done) -> None:
    """Photos together; when this returns, none of their pixels is in memory any more."""
    start = time.perf_counter()
    read: list[Found] = []
    images: list[Image.Image] = []
    for photo in batch:
        try:
            images.append(read_rgb(photo.path))
            read.append(photo)
        except PetsegError as mistake:
            done.mistakes.append(str(mistake))
    predictions = predictor.predict_batch(images)
    seconds = (time.perf_counter() - start) / len(batch)

    def write(photo: Found, image: Image.Image, prediction: PhotoPrediction) -> PhotoRow:
        write_results(out / photo.name, image, prediction)
        return PhotoRow(str(photo.path), *image.size, seconds, prediction.shares)

    # Enlarging and encoding takes longer than predicting. A large photo, which is alone, stays in this thread: another
    # one's memory would be new.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        done.rows += (pool.map if len(read) > 1 else map)(write, read, images, predictions)


def write_results(stem: Path, photo: Image.Image, prediction: PhotoPrediction) -> list[Path]:
    """STEM_mask.png, STEM_overlay.jpg and, if there is a background to take away, STEM_cutout.png."""
    written = [
        _write(stem, MASK, mask_image(prediction)),
        _write(stem, OVERLAY, overlay(photo, prediction), quality=92),
    ]
    cut = cutout(photo, prediction)
    if cut is not None:
        written.append(_write(stem, CUTOUT, cut, compress_level=3))
    return written


def table_of(rows: Iterable[PhotoRow], class_names: list[str]) -> str:
    """The rows as CSV."""
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
    photos: Sequence[Found], batch_size: int, mistakes: list[str]
) -> Iterator[list[Found]]:
    """At most so many photos at a time, fewer if they are large; those that can't be taken become mistakes."""
    batch: list[Found] = []
    pixels = 0
    for photo in photos:
        try:
            width, height = size_of(photo.path)
        except PetsegError as mistake:
            mistakes.append(str(mistake))
            continue
        if batch and (len(batch) == batch_size or pixels + width * height > _MAX_PIXELS):
            yield batch
            batch, pixels = [], 0
        batch.append(photo)
        pixels += width * height
    if batch:
        yield batch


def size_of(path: Path) -> tuple[int, int]:
    """Width and height. Raises PetsegError if there is something that none of the results could hold."""
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise PetsegError(f"{str(path)!r} has a name that isn't UTF-8; rename it.") from error
    size = read_image_size(path)
    if max(size) > _JPEG_SIDE:
        raise PetsegError(
            f"{path} is {size[0]} x {size[1]} pixels; more than {_JPEG_SIDE} a side can't be drawn."
        )
    return size


def _write(stem: Path, ending: str, picture: Image.Image, **options: int) -> Path:
    path = stem.with_name(stem.name + ending)
    atomic_write(path, encode_image(picture, "JPEG" if ending == OVERLAY else "PNG", **options))
    return path
