"""Write the results of one batch of photos while the next batch is read and predicted."""

import os
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Self

from PIL import Image

from petseg.core.atomic_io import flush_entries
from petseg.photos.find_files import InputFile
from petseg.photos.prediction import PhotoPrediction
from petseg.photos.result_files import ResultFiles, write_results
from petseg.photos.results_table import PhotoRow, ResultsTable

_Written = tuple[InputFile, PhotoRow]


class Predicted(NamedTuple):
    """A photo and what was predicted for it."""

    file: InputFile
    modified: str  # `time_of` the file before it was read
    image: Image.Image
    prediction: PhotoPrediction


@dataclass
class PredictedFiles:
    """The outcome for the photos so far."""

    rows: list[PhotoRow] = field(default_factory=list)
    existing: list[str] = field(default_factory=list)  # photos that had their results before
    skipped: list[str] = field(default_factory=list)  # an error message for each skipped photo
    notes: list[str] = field(default_factory=list)  # what else to know about the photos


class BatchWriter:
    """Write one batch's results on all cores, and add them to the table.

    Leaving the context finishes the last batch, even if the next one has failed.
    """

    def __init__(
        self,
        results: ResultFiles,
        checksum: str,
        table: ResultsTable,
        out: Path,
        done: PredictedFiles,
    ) -> None:
        self.num_deleted = 0
        self._results, self._checksum, self._table = results, checksum, table
        self._out, self._done = out, done
        self._pool = ThreadPoolExecutor(os.cpu_count())
        self._started: list[Future[_Written]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.finish()
        finally:
            self._pool.shutdown(cancel_futures=True)

    def start(self, batch: Sequence[Predicted], seconds: float) -> None:
        """Finish the last batch, then start to write this one. A single photo is finished, too."""
        self.finish()
        files = [predicted.file for predicted in batch]
        for file in files:
            num_deleted, kept = self._results.delete_outdated(file)
            self.num_deleted += num_deleted
            self._done.notes += [
                f"{path} is outdated, but stays: it is not as petseg wrote it." for path in kept
            ]
        if self._table.mark_unfinished({file.path: file.output_name for file in files}):
            self._table.write()  # after a kill, a row must not claim another model's results
        if len(batch) == 1:  # another thread would allocate its memory again
            self._record([self._write(batch[0], seconds)])
        else:
            self._started = [self._pool.submit(self._write, item, seconds) for item in batch]

    def finish(self) -> None:
        """Wait until the last batch is written, and add it to the table.

        If a photo's results can't be written, the others' are added before the error is raised.
        """
        started, self._started = self._started, []
        errors = [error for future in started if (error := future.exception())]
        written = [future.result() for future in started if not future.exception()]
        if written and all(isinstance(error, Exception) for error in errors):
            self._record(written)
        if errors:
            raise errors[0]

    def _write(self, predicted: Predicted, seconds: float) -> _Written:
        file, modified, image, prediction = predicted
        write_results(self._out / file.output_name, image, prediction, self._results.kinds)
        row = PhotoRow(
            os.path.abspath(file.path),
            modified,
            file.output_name,
            *image.size,
            seconds,
            self._checksum,
            prediction.shares,
        )
        return file, row

    def _record(self, written: Sequence[_Written]) -> None:
        for _, row in written:
            self._table.add(row)
            self._done.rows.append(row)
        for folder in {(self._out / file.output_name).parent for file, _ in written} - {self._out}:
            flush_entries(folder)
        self._table.write()  # flushes the entries of its own folder
