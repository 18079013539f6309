"""Predicting many photos: their files, the table, batches and memory."""

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from petseg.photos import predict_files as module
from petseg.photos.find_files import find_files
from petseg.photos.predict_files import predict_files
from petseg.photos.predictor import Predictor
from support.predictors import TRIMAP, brightness_predictor, noise_photo, predict_from_brightness

PREDICTOR = brightness_predictor()


@pytest.fixture
def photos(tmp_path):
    """Three photos, two with the same stem and one in a subfolder."""
    folder = tmp_path / "photos"
    (folder / "deep").mkdir(parents=True)
    for name in ("a.png", "a.bmp", "deep/B.PNG"):
        Image.fromarray(noise_photo(40, 50)).save(folder / name)
    return folder


def read_table(out):
    with (out / "predictions.csv").open() as file:
        return list(csv.DictReader(file))


def test_every_photo_gets_its_files_and_its_row(photos, tmp_path):
    out = tmp_path / "out"
    (photos / "broken.jpg").write_bytes(b"\xff\xd8 not a JPEG")
    done = predict_files(PREDICTOR, find_files([str(photos)], out), out, batch_size=2)
    written = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    names, endings = ("a.bmp", "a.png", "deep/B"), ("_cutout.png", "_mask.png", "_overlay.jpg")
    assert written == {
        "predictions.csv",
        *(f"{name}{ending}" for name in names for ending in endings),
    }
    assert len(done.skipped) == 1
    assert "broken.jpg can't be read as an image" in done.skipped[0]
    table = read_table(out)
    assert [Path(row["photo"]).name for row in table] == ["a.bmp", "a.png", "B.PNG"]
    with Image.open(out / "a.png_mask.png") as mask:
        share = np.mean(np.asarray(mask) == 0)
    assert float(table[1]["share.pet"]) == pytest.approx(share, abs=1e-4)
    assert (int(table[1]["width"]), int(table[1]["height"])) == (50, 40)
    assert done.rows[1].shares["pet"] == pytest.approx(share)


def test_large_photos_go_into_smaller_batches(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "_MAX_BATCH_PIXELS", 5000)  # two photos of 2000 pixels
    batch_sizes = []

    def predict_fn(images):
        batch_sizes.append(len(images))
        return predict_from_brightness(images)

    for i in range(4):
        Image.fromarray(noise_photo(40, 50)).save(tmp_path / f"{i}.png")
    files = find_files([str(tmp_path)], tmp_path / "out")
    predict_files(Predictor(predict_fn, TRIMAP, 32), files, tmp_path / "out", batch_size=16)
    assert batch_sizes == [2, 2]


def test_earlier_batches_keep_their_results_if_a_later_one_fails(photos, tmp_path, monkeypatch):
    out, calls = tmp_path / "out", []

    def fail_at_the_third(photo, prediction):
        calls.append(photo)
        if len(calls) == 3:
            raise OSError("no space")

    monkeypatch.setattr(module, "cutout", fail_at_the_third)
    with pytest.raises(OSError, match="no space"):
        predict_files(PREDICTOR, find_files([str(photos)], out), out, batch_size=1)
    assert [Path(row["photo"]).name for row in read_table(out)] == ["a.bmp", "a.png"]


MEASURE_PEAKS = """
import sys
from pathlib import Path
from petseg.photos import predict_files as module
from petseg.photos.find_files import InputFile
from support.memory import peak_mib
from support.predictors import brightness_predictor

folder = Path(sys.argv[1])
module._MAX_BATCH_PIXELS = 3_000_000

def peak_after(*names):
    files = [InputFile(folder / f"{name}.jpg", name) for name in names]
    module.predict_files(brightness_predictor(), files, folder / "out", 16)
    return peak_mib()

first = peak_after("0")
print(peak_after("1", "2", "3", "4") - first)
"""


def test_memory_holds_one_large_photo_at_a_time(tmp_path):
    """After a photo of 2 megapixels come four that don't share a batch: together 18 MiB more."""
    for i in range(5):
        Image.new("RGB", (2000, 1000), (90, 120, 40)).save(tmp_path / f"{i}.jpg")
    done = subprocess.run(
        [sys.executable, "-c", MEASURE_PEAKS, tmp_path],
        env={"PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert float(done.stdout) < 9
