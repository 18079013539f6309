"""TensorBoard's event files, read as TensorBoard reads them."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from petseg.training.tensorboard import EventLog
from support.events import read_events, scalars_of
from support.training import ROW

HISTORY = [replace(ROW, epoch=epoch, loss=1 / epoch) for epoch in (1, 2, 3)]


def test_each_column_of_the_history_is_a_scalar(tmp_path):
    log = EventLog(tmp_path / "run", [])
    for row in HISTORY:
        log.add(row)
        assert read_events(tmp_path / "run")["loss"][-1] == (row.epoch, pytest.approx(row.loss))
    assert read_events(tmp_path / "run") == scalars_of(HISTORY)


def test_events_switched_on_after_a_kill_begin_with_the_first_epoch(tmp_path):
    log = EventLog(tmp_path, HISTORY[:2])
    log.add(HISTORY[2])
    assert read_events(tmp_path) == scalars_of(HISTORY)


def test_a_preview_is_an_image(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (4, 6, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "epoch_001.png")
    EventLog(tmp_path / "run", []).add(ROW, tmp_path / "epoch_001.png")
    [(step, image)] = read_events(tmp_path / "run")["previews"]
    assert (step, image.height, image.width) == (1, 4, 6)
    np.testing.assert_array_equal(tf.io.decode_png(image.encoded_image_string), pixels)


def test_a_resumed_run_has_each_epoch_once(tmp_path):
    log = EventLog(tmp_path, [])
    for row in HISTORY[:2]:
        log.add(replace(row, loss=9.0) if row.epoch == 2 else row)
    resumed = EventLog(tmp_path, HISTORY[:1])  # killed before the checkpoint of epoch 2
    for row in HISTORY[1:]:
        resumed.add(row)
    assert len(list(tmp_path.iterdir())) == 2
    assert read_events(tmp_path) == scalars_of(HISTORY)
