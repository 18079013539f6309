"""Predict many photos, and write their result images and one table."""

import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from PIL import Image
from tqdm import tqdm

from petseg.core.errors import PetsegError
from petseg.core.geometry import place, whole_size
from petseg.images.reading import read_image_size, read_rgb
from petseg.photos.batch_writer import BatchWriter, Predicted, PredictedFiles
from petseg.photos.find_files import RESULT_SUFFIXES, InputFile, ResultKind, list_some
from petseg.photos.predictor import Predictor
from petseg.photos.result_files import ALL_KINDS, ResultFiles
from petseg.photos.results_table import ResultsTable, time_of

_MAX_BATCH_PIXELS = 25_000_000  # of two batches in memory; a larger photo forms a batch of its own
_MAX_JPEG_SIDE = 65_500
_MAX_NAME_BYTES = 255
_SAME_SCALE = 1.05  # apart from rounding


def predict_files(
    predictor: Predictor,
    files: Sequence[InputFile],
    out: Path,
    batch_size: int,
    *,
    kinds: Sequence[ResultKind] = ALL_KINDS,
    overwrite: bool = False,
    skip_existing: bool = False,
) -> PredictedFiles:
    """Write each photo's results of these kinds and, after each batch, the table so far.

    Earlier results of other kinds stay if they are from this model and the photo is unchanged;
    otherwise they are deleted, unless they were edited. Photos that can't be read are skipped. With
    `skip_existing`, so are those that have results from this model and haven't changed since.
    Without `overwrite`, raises PetsegError before the first photo if a file would be replaced that
    petseg didn't write, or that belongs to another photo.
    """
    done = PredictedFiles()
    table = ResultsTable(out, replace=overwrite)
    results = ResultFiles(out, table, predictor, kinds)
    if not results.kinds:
        raise PetsegError(
            "The model has no class named background, so there is nothing to cut out; write masks "
            "or overlays."
        )
    if skip_existing:
        is_done = {file: results.is_done(file) for file in files}
        done.existing = [str(file.path) for file in files if is_done[file]]
        files = [file for file in files if not is_done[file]]
    files = [file for file in files if _has_short_name(file, done)]
    others = results.of_others(files)
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
    with (
        tqdm(total=len(files), desc="predict", unit="photo", disable=None) as bar,
        BatchWriter(results, predictor.checksum, table, out, done) as writer,
    ):
        for batch in _batches(files, batch_size, predictor, done):
            _predict_batch(predictor, batch, writer, done, with_alpha="cutout" in results.kinds)
            bar.update(len(done.rows) + len(done.skipped) - bar.n)
        writer.finish()
        bar.update(len(done.rows) + len(done.skipped) - bar.n)
    if writer.num_deleted:
        done.notes.append(
            f"Deleted {writer.num_deleted} earlier results of other kinds that no longer match "
            "their photo or the model."
        )
    return done


def _predict_batch(
    predictor: Predictor,
    batch: Sequence[InputFile],
    writer: BatchWriter,
    done: PredictedFiles,
    *,
    with_alpha: bool,
) -> None:
    """Read and predict one batch, and start writing its results.

    A single photo may be a large one, so no other is in memory, and on return it isn't, either.
    """
    if len(batch) == 1:
        writer.finish()
    start = time.perf_counter()
    files: list[InputFile] = []
    times: list[str] = []
    images: list[Image.Image] = []
    for file in batch:
        try:
            modified = time_of(file.path)
            images.append(read_rgb(file.path, first_frame=True, max_pixels=predictor.max_pixels))
            files.append(file)
            times.append(modified)
        except PetsegError as error:
            done.skipped.append(str(error))
    predictions = predictor.predict_batch(images, progress=True, with_alpha=with_alpha)
    seconds = (time.perf_counter() - start) / len(batch)
    writer.start(list(map(Predicted, files, times, images, predictions)), seconds)


def _batches(
    files: Sequence[InputFile], batch_size: int, predictor: Predictor, done: PredictedFiles
) -> Iterator[list[InputFile]]:
    """Yield at most `batch_size` photos at a time, fewer if they are large."""
    batch: list[InputFile] = []
    pixels = 0
    for file in files:
        try:
            width, height, frames = check_size(file.path, predictor.max_pixels)
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


def _has_short_name(file: InputFile, done: PredictedFiles) -> bool:
    """Whether common file systems take the names of a photo's results; if not, skip it."""
    stem = os.fsencode(Path(file.output_name).name)
    longest = max(map(len, RESULT_SUFFIXES.values()))
    if len(stem) + longest <= _MAX_NAME_BYTES:
        return True
    done.skipped.append(
        f"{file.path}: the names of its results would have {len(stem) + longest} bytes; shorten "
        f"its name to {_MAX_NAME_BYTES - longest}, without the suffix."
    )
    return False


def check_size(path: Path, max_pixels: int) -> tuple[int, int, int]:
    """Return width, height and the number of frames.

    Raises PetsegError if the results can't have this size, or its name isn't UTF-8.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise PetsegError(f"{str(path)!r} is not a UTF-8 file name; rename it.") from error
    width, height, frames = read_image_size(path, max_pixels)
    if max(width, height) > _MAX_JPEG_SIDE:
        raise PetsegError(
            f"{path} is {width} x {height} pixels; shrink it to at most {_MAX_JPEG_SIDE} per side."
        )
    return width, height, frames
