"""What the terminal shows during training."""

import tensorflow as tf

from petseg.training import progress
from petseg.training.progress import ExampleBar, Throughput


def test_the_bar_counts_images_and_shows_loss_and_mean_iou(monkeypatch):
    monkeypatch.setattr(progress, "_REFRESH_INTERVAL", -1.0)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    with ExampleBar("epoch 1/2", "images", 12, 4) as bar:
        bar.update(4)
        bar.show_metrics(0.5, tf.constant([[1, 1], [0, 2]]))
        assert (bar.n, bar.total) == (8, 12)
        assert bar.postfix == "loss=0.5000, mean IoU=0.5833"  # (1/2 + 2/3) / 2


def test_the_bar_is_shown_only_on_the_chief_in_a_terminal(monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    assert ExampleBar("epoch 1/2", "images", 12, is_visible=False).disable
    monkeypatch.setattr("sys.stderr.isatty", lambda: False, raising=False)
    assert ExampleBar("epoch 1/2", "images", 12).disable


def test_throughput_covers_the_last_epoch_and_the_time_left_all_epochs(monkeypatch):
    moments = iter([0.0, 10.0, 30.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(moments))
    throughput = Throughput(epochs_left=6, unit="tiles")
    assert throughput.update(50) == "5 tiles/s  00:50 left"
    assert throughput.update(50) == "2 tiles/s  01:00 left"
