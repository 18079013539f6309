"""plots/history.csv."""

from dataclasses import replace

from petseg.training.history import Epoch, best_epoch, write_history

ROW = Epoch(1, 0.004, 1 / 3, 0.2, 1.1, 0.3, 0.4)


def test_history_is_written_with_six_digits(tmp_path):
    write_history([ROW], tmp_path / "plots" / "history.csv")
    lines = (tmp_path / "plots" / "history.csv").read_text().splitlines()
    assert lines == [
        "epoch,learning_rate,loss,mean_iou,val_loss,val_mean_iou,val_pixel_accuracy",
        "1,0.004,0.333333,0.2,1.1,0.3,0.4",
    ]
    assert len(list((tmp_path / "plots").iterdir())) == 1


def test_the_best_epoch_is_the_first_with_the_highest_mean_iou():
    scores = [0.2, 0.9, 0.9, 0.1]
    history = [replace(ROW, epoch=i, val_mean_iou=score) for i, score in enumerate(scores, 1)]
    assert best_epoch(history).epoch == 2
