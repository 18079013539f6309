"""The history as TensorBoard's event files: scalars after each epoch, and the previews if any.

An event file is a TFRecord file of Event messages. They are written here because tf.summary can't
write a scalar unless the package tensorboard is installed.
"""

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import tensorflow as tf
from PIL import Image

from petseg.training.history import Epoch

_Event, _SessionLog = tf.compat.v1.Event, tf.compat.v1.SessionLog
_Summary = tf.compat.v1.Summary


class EventLog:
    """Adds a file to a run's folder.

    The file starts with a session start at the next epoch. There, TensorBoard drops what an earlier
    file has of that epoch and later ones: a run killed before its checkpoint trains it again. In a
    folder without events, all complete epochs come first.
    """

    def __init__(self, folder: Path, history: list[Epoch]) -> None:
        is_new = not any(folder.glob("events.out.tfevents.*"))
        folder.mkdir(parents=True, exist_ok=True)
        # TensorBoard reads the files in the order of their names.
        path = folder / f"events.out.tfevents.{time.time_ns()}"
        self._writer = tf.io.TFRecordWriter(str(path))
        self._write(file_version="brain.Event:2")
        start = _SessionLog(status=_SessionLog.START)
        self._write(step=1 if is_new else len(history) + 1, session_log=start)
        for row in history if is_new else []:
            self.add(row)
        self._writer.flush()

    def add(self, row: Epoch, preview: Path | None = None) -> None:
        """Write an epoch, with an image that must be a PNG."""
        scalars = {name: value for name, value in asdict(row).items() if name != "epoch"}
        values = [_Summary.Value(tag=name, simple_value=value) for name, value in scalars.items()]
        if preview:
            with Image.open(preview) as image:
                size = {"width": image.width, "height": image.height, "colorspace": 3}
            encoded = _Summary.Image(**size, encoded_image_string=preview.read_bytes())
            values.append(_Summary.Value(tag="previews", image=encoded))
        self._write(step=row.epoch, summary=_Summary(value=values))
        self._writer.flush()

    def _write(self, **fields: Any) -> None:
        self._writer.write(_Event(wall_time=time.time(), **fields).SerializeToString())
