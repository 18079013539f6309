"""The result files of photos: which are up to date, which are somebody else's, and writing them."""

import os
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from petseg.core.atomic_io import atomic_write
from petseg.core.labels import BACKGROUND
from petseg.image_encoding import encode_image
from petseg.own_files import is_unchanged, sign_image
from petseg.photos.find_files import RESULT_SUFFIXES, InputFile, ResultKind
from petseg.photos.outputs import color_profile, cutout, mask_image, overlay
from petseg.photos.prediction import PhotoPrediction
from petseg.photos.predictor import Predictor
from petseg.photos.results_table import ResultsTable, time_of

ALL_KINDS = tuple(RESULT_SUFFIXES)


class ResultFiles:
    """The files in an output folder, for one model and the kinds of results to write."""

    def __init__(
        self, out: Path, table: ResultsTable, predictor: Predictor, kinds: Sequence[ResultKind]
    ) -> None:
        self._out, self._table, self._checksum = out, table, predictor.checksum
        self.kinds = tuple(  # without cutouts if no class is background
            kind for kind in kinds if kind != "cutout" or BACKGROUND in predictor.classes
        )

    def is_done(self, file: InputFile) -> bool:
        """Whether a photo has all its results from this model, and hasn't changed since."""
        return all(self._is_current(file, kind) for kind in self.kinds)

    def of_others(self, files: Sequence[InputFile]) -> dict[str, str]:
        """Return the existing files that the photos' results would wrongly replace.

        The keys are real paths, the values say what the file is: not written by petseg, edited
        since, or a result of another photo, of whichever kind.
        """
        others: dict[str, str] = {}
        for file in files:
            photo = self._table.photo_of(file.output_name)
            is_of_another = photo not in (None, os.path.realpath(file.path))
            for kind in ALL_KINDS if is_of_another else self.kinds:
                path = self._path(file, kind)
                if path.is_file() and (is_of_another or not is_unchanged(path)):
                    others[os.path.realpath(path)] = (
                        f"{self._out / file.output_name}_* (the results of {photo})"
                        if is_of_another
                        else f"{path} (not as petseg wrote it)"
                    )
        return others

    def delete_outdated(self, file: InputFile) -> tuple[int, list[Path]]:
        """Delete a photo's results of other kinds that are of another model or an earlier version.

        Return how many were deleted, and which stay because they aren't as petseg wrote them.
        """
        kept, num_deleted = [], 0
        for kind in ALL_KINDS:
            path = self._path(file, kind)
            if kind in self.kinds or not path.is_file() or self._is_current(file, kind):
                continue
            if is_unchanged(path):
                path.unlink()
                num_deleted += 1
            else:
                kept.append(path)
        return num_deleted, kept

    def _is_current(self, file: InputFile, kind: ResultKind) -> bool:
        """Whether a photo has this result from this model, and hasn't changed since."""
        row = self._table.row_of(file.path)
        expected = (file.output_name, self._checksum, time_of(file.path))
        if row is None or (row["results"], row["model"], row["modified"]) != expected:
            return False
        try:  # an edited result may be older than the row
            return self._path(file, kind).stat().st_mtime >= file.path.stat().st_mtime
        except OSError:
            return False

    def _path(self, file: InputFile, kind: ResultKind) -> Path:
        return self._out / f"{file.output_name}{RESULT_SUFFIXES[kind]}"


def write_results(
    stem: Path,
    photo: Image.Image,
    prediction: PhotoPrediction,
    kinds: Sequence[ResultKind] = ALL_KINDS,
) -> list[Path]:
    """Write STEM_mask.png, STEM_overlay.jpg and, if a class is background, STEM_cutout.png.

    The caller flushes the folder's entries to disk.
    """
    written = []
    profile = color_profile(photo)
    if "mask" in kinds:
        # Run lengths suit masks: smaller than by default, and encoded twice as fast.
        written.append(_write(stem, "mask", mask_image(prediction), compress_type=zlib.Z_RLE))
    if "overlay" in kinds:
        written.append(
            _write(stem, "overlay", overlay(photo, prediction), quality=92, icc_profile=profile)
        )
    if "cutout" in kinds and (cut := cutout(photo, prediction)):
        written.append(_write(stem, "cutout", cut, compress_level=3, icc_profile=profile))
    return written


def _write(stem: Path, kind: ResultKind, image: Image.Image, **options: Any) -> Path:
    path = stem.with_name(stem.name + RESULT_SUFFIXES[kind])
    data = encode_image(image, "JPEG" if kind == "overlay" else "PNG", **options)
    atomic_write(path, sign_image(data), flush_folder=False)
    return path
