"""Predict many photos, and write their result images and one table."""

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image
from tqdm import tqdm

from petseg.core.atomic_io import atomic_write
from petseg.core.errors import PetsegError
from petseg.core.geometry import place, whole_size
from petseg.core.labels import BACKGROUND
from petseg.core.parallel import parallel_map
from petseg.image_encoding import encode_image
from petseg.images.reading import read_image_size, read_rgb
from petseg.own_files import is_unchanged, sign_image
from petseg.photos.find_files import CUTOUT, MASK, OVERLAY, InputFile, list_some
from petseg.photos.outputs import cutout, mask_image, overlay
from petseg.photos.predictor import PhotoPrediction, Predictor
from petseg.photos.results_table import PhotoRow, ResultsTable

_MAX_BATCH_PIXELS = 50_000_000  # a larger photo forms a batch of its own
_MAX_JPEG_SIDE = 65_500
_SAME_SCALE = 1.05  # apart from rounding


@dataclass
class PredictedFiles:
    """The outcome for the photos so far."""

    rows: list[PhotoRow] = field(default_factory=list)
    existing: list[str] = field(default_factory=list)  # photos that had their results before
    skipped: list[str] = field(default_factory=list)  # an error message for each skipped photo
    notes: list[str] = field(default_factory=list)  # what else to know about the photos


def predict_files(
    predictor: Predictor,
    files: Sequence[InputFile],
    out: Path,
    batch_size: int,
    *,
    overwrite: bool = False,
    skip_existing: bool = False,
) -> PredictedFiles:
    """Write each photo's mask, overlay and cutout and, after each batch, the table so far.

    Photos that can't be read are skipped. With `skip_existing`, so are those that have results from
    this model and haven't changed since. Without `overwrite`, raises PetsegError before the first
    photo if a file would be replaced that petseg didn't write, or that belongs to another photo.
    """
    done = PredictedFiles()
    table = ResultsTable(out, replace=overwrite)
    if skip_existing:
        is_done = {file: _is_done(file, table, predictor, out) for file in files}
        done.existing = [str(file.path) for file in files if is_done[file]]
        files = [file for file in files if not is_done[file]]
    others = _files_of_others(files, predictor, table, out)
    if overwrite:
        replaced = [file for file in files if os.path.realpath(file.path) in others]
        done.notes += [f"{file.path} was replaced, not predicted." for file in replaced]
        files = [file for file in files if file not in replaced]
    elif others:
        texts = list_some(dict.fromkeys(others.values()), 3)
        raise PetsegError(
            f"petseg predict would overwrite {texts}; use another --out, or --overwrite to replace "
            "them."
        )
    with tqdm(total=len(files), desc="predict", unit="photo", disable=None) as bar:
        for batch in _batches(files, batch_size, predictor, done):
            _predict_batch(predictor, batch, out, done, table)
            table.write()
            bar.update(len(done.rows) + len(done.skipped) - bar.n)
    return done


def _is_done(file: InputFile, table: ResultsTable, predictor: Predictor, out: Path) -> bool:
    """Whether a photo has all its results from this model, and hasn't changed since."""
    row = table.row_of(file.path)
    if row is None or (row["results"], row["model"]) != (file.output_name, predictor.checksum):
        return False
    try:
        changed = file.path.stat().st_mtime
        return all(path.stat().st_mtime >= changed for path in _result_files(file, predictor, out))
    except OSError:
        return False


def _result_files(file: InputFile, predictor: Predictor, out: Path) -> list[Path]:
    endings = [MASK, OVERLAY, *([CUTOUT] if BACKGROUND in predictor.classes else [])]
    return [out / f"{file.output_name}{ending}" for ending in endings]


def _files_of_others(
    files: Sequence[InputFile], predictor: Predictor, table: ResultsTable, out: Path
) -> dict[str, str]:
    """Return the existing files that the photos' results would wrongly replace.

    The keys are real paths, the values say what the file is: not written by petseg, edited since,
    or a result of another photo.
    """
    others: dict[str, str] = {}
    for file in files:
        photo = table.photo_of(file.output_name)
        is_of_another = photo not in (None, os.path.realpath(file.path))
        for path in _result_files(file, predictor, out):
            if path.is_file() and (is_of_another or not is_unchanged(path)):
                others[os.path.realpath(path)] = (
                    f"{out / file.output_name}_* (the results of {photo})"
                    if is_of_another
                    else f"{path} (not as petseg wrote it)"
                )
    return others


def _predict_batch(
    predictor: Predictor,
    batch: Sequence[InputFile],
    out: Path,
    done: PredictedFiles,
    table: ResultsTable,
) -> None:
    """Predict and write one batch, and add its rows to the table.

    On return, none of its pixels are in memory.
    """
    start = time.perf_counter()
    read: list[tuple[InputFile, Image.Image]] = []
    for file in batch:
        try:
            read.append((file, read_rgb(file.path, first_frame=True)))
        except PetsegError as error:
            done.skipped.append(str(error))
    predictions = predictor.predict_batch([image for _, image in read])
    seconds = (time.perf_counter() - start) / len(batch)

    def write(item: tuple[tuple[InputFile, Image.Image], PhotoPrediction]) -> PhotoRow:
        (file, image), prediction = item
        write_results(out / file.output_name, image, prediction)
        return PhotoRow(
            os.path.abspath(file.path),
            file.output_name,
            *image.size,
            seconds,
            predictor.checksum,
            prediction.shares,
        )

    items = list(zip(read, predictions, strict=True))
    # Resizing and encoding takes longer than predicting. But a single photo may be a large one,
    # whose memory another thread would allocate again.
    rows = [write(items[0])] if len(items) == 1 else parallel_map(write, items)
    for row in rows:
        table.add(row)
    done.rows += rows


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


def _batches(
    files: Sequence[InputFile], batch_size: int, predictor: Predictor, done: PredictedFiles
) -> Iterator[list[InputFile]]:
    """Yield at most `batch_size` photos at a time, fewer if they are large."""
    batch: list[InputFile] = []
    pixels = 0
    for file in files:
        try:
            width, height, frames = check_size(file.path)
        except PetsegError as error:
            done.skipped.append(str(error))
            continue
        if frames > 1:
            done.notes.append(f"{file.path} has {frames} pages or frames: only the first was read.")
        if _is_compressed(width, height, predictor):
            done.notes.append(
                f"{file.path} is more than 16 times as long as the part that the network sees, so "
                "it was compressed for it."
            )
        if batch and (len(batch) == batch_size or pixels + width * height > _MAX_BATCH_PIXELS):
            yield batch
            batch, pixels = [], 0
        batch.append(file)
        pixels += width * height
    if batch:
        yield batch


def _is_compressed(width: int, height: int, predictor: Predictor) -> bool:
    """Whether a long photo loses its shape, although `crop` keeps those of others."""
    if predictor.resize != "crop":
        return False
    whole = whole_size(height, width, place(height, width, predictor.image_size, predictor.resize))
    scales = sorted((whole.height / height, whole.width / width))
    return scales[1] > _SAME_SCALE * scales[0]


def check_size(path: Path) -> tuple[int, int, int]:
    """Return width, height and the number of frames.

    Raises PetsegError if the results can't have this name or size.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise PetsegError(f"{str(path)!r} is not a UTF-8 file name; rename it.") from error
    width, height, frames = read_image_size(path)
    if max(width, height) > _MAX_JPEG_SIDE:
        raise PetsegError(
            f"{path} is {width} x {height} pixels; shrink it to at most {_MAX_JPEG_SIDE} per side."
        )
    return width, height, frames


def _write(stem: Path, ending: str, image: Image.Image, **options: int) -> Path:
    path = stem.with_name(stem.name + ending)
    data = encode_image(image, "JPEG" if ending == OVERLAY else "PNG", **options)
    atomic_write(path, sign_image(data))
    return path
