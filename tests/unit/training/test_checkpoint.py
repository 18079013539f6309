"""Checkpoints: what they hold, and what happens to damaged ones."""

import errno
from pathlib import Path

import numpy as np
import pytest

from petseg.core.errors import explain
from petseg.training.checkpoint import (
    Checkpoint,
    PartialEpoch,
    load_checkpoint,
    save_checkpoint,
)
from support.robustness import matches
from support.training import ROW

SECTION = "Training"
CASES = {
    "a damaged checkpoint": "Reported and removed; the one before it is used.",
    "a checkpoint that can't be read": '"The disk failed at … (input/output error); check the disk, then run dvc repro again." It stays.',
}  # fmt: skip


def checkpoint_at(step):
    partial = PartialEpoch(step, 0.0, np.zeros((2, 2), np.int64))
    return Checkpoint([ROW], {"network": [np.full(500, step)]}, partial)


def test_loading_restores_what_was_saved(tmp_path):
    arrays = {
        "network": [np.arange(6.0).reshape(2, 3), np.float32(3) * np.ones(())],
        "best": [np.ones(2)],
    }
    partial = PartialEpoch(7, 0.1 + 0.2, np.array([[2**40, 1], [0, 3]]))
    save_checkpoint(Checkpoint([ROW], arrays, partial), tmp_path)
    loaded = load_checkpoint(tmp_path)
    assert loaded.history == [ROW]
    assert (loaded.partial_epoch.steps, loaded.partial_epoch.loss_sum) == (7, 0.1 + 0.2)
    assert np.array_equal(loaded.partial_epoch.confusion, partial.confusion)
    assert loaded.partial_epoch.confusion.dtype == np.int64
    assert list(loaded.arrays) == ["network", "best"]
    for found, saved in zip(loaded.arrays["network"], arrays["network"], strict=True):
        assert np.array_equal(found, saved)


def test_a_folder_without_checkpoints_gives_none(tmp_path):
    assert load_checkpoint(tmp_path / "missing") is None


def test_only_the_two_newest_checkpoints_are_kept(tmp_path):
    for step in range(8, 13):
        save_checkpoint(checkpoint_at(step), tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
    assert load_checkpoint(tmp_path).partial_epoch.steps == 12


DAMAGE = {
    "cut": lambda data: data[: len(data) // 2],
    "zeros": lambda data: data[: len(data) // 2] + bytes(len(data) - len(data) // 2),
    "empty": lambda data: b"",
    "shorter than its checksum": lambda data: data[:7],
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_checkpoint_is_removed_and_the_one_before_it_used(tmp_path, capsys, damage):
    for step in (1, 2):
        save_checkpoint(checkpoint_at(step), tmp_path)
    newest = max(tmp_path.iterdir())
    newest.write_bytes(DAMAGE[damage](newest.read_bytes()))
    assert load_checkpoint(tmp_path).partial_epoch.steps == 1
    assert f"{newest} is damaged" in capsys.readouterr().out
    assert not newest.exists()  # it must not count as one of the two newest
    for path in tmp_path.iterdir():
        path.write_bytes(b"")
    assert load_checkpoint(tmp_path) is None


def test_a_flipped_bit_anywhere_is_detected(tmp_path):
    save_checkpoint(checkpoint_at(1), tmp_path)
    path = next(tmp_path.iterdir())
    data = path.read_bytes()
    for at in range(0, len(data), 37):
        path.write_bytes(data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :])
        assert load_checkpoint(tmp_path) is None


def test_a_checkpoint_that_cannot_be_read_stays(tmp_path, monkeypatch):
    for step in (1, 2):
        save_checkpoint(checkpoint_at(step), tmp_path)

    def fail(path):
        raise OSError(errno.EIO, "Input/output error", str(path))

    monkeypatch.setattr(Path, "read_bytes", fail)
    with pytest.raises(OSError, match="Input/output error") as caught:
        load_checkpoint(tmp_path)
    message = explain(caught.value)
    assert matches(CASES["a checkpoint that can't be read"], message, tmp_path), message
    monkeypatch.undo()
    assert load_checkpoint(tmp_path).partial_epoch.steps == 2


def test_file_names_sort_in_order_up_to_the_largest_number_of_epochs(tmp_path):
    class History(list):
        """A history of any length."""

        length = 0

        def __len__(self):
            return self.length

    for epochs in (999_999, 1_000_000):
        history = History([ROW])
        history.length = epochs
        save_checkpoint(Checkpoint(history, {"network": []}), tmp_path)
    assert max(tmp_path.iterdir()).name.startswith("1000000-")
