"""Reading TensorBoard's event files as TensorBoard does."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

from petseg.training.history import Epoch


def read_events(folder: Path) -> dict[str, list[tuple[int, Any]]]:
    """Return {tag: [(step, value)]}. A session start drops earlier events from its step on."""
    values: dict[str, list[tuple[int, Any]]] = {}
    for file in sorted(folder.iterdir()):
        events = [
            tf.compat.v1.Event.FromString(record.numpy())
            for record in tf.data.TFRecordDataset(str(file))
        ]
        assert events[0].file_version == "brain.Event:2"
        for event in events:
            if event.session_log.status == tf.compat.v1.SessionLog.START:
                for tag in values:
                    values[tag] = [pair for pair in values[tag] if pair[0] < event.step]
            for value in event.summary.value:
                content = value.image if value.HasField("image") else value.simple_value
                values.setdefault(value.tag, []).append((event.step, content))
    return values


def scalars_of(history: list[Epoch]) -> dict[str, list[tuple[int, Any]]]:
    """What `read_events` returns for a history."""
    columns: dict[str, list[tuple[int, Any]]] = {
        tag: [] for tag in asdict(history[0]) if tag != "epoch"
    }
    for row in history:
        for tag, column in columns.items():
            column.append((row.epoch, pytest.approx(getattr(row, tag))))
    return columns
