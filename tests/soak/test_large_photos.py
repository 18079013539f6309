"""Memory while large photos are predicted: 50 megapixels at once, 400 in windows."""

import subprocess
import sys

import pytest
from PIL import Image

MEASURE_PEAK = """
import sys
from pathlib import Path
from petseg.config.tiles import Tiles
from petseg.photos.find_files import InputFile
from petseg.photos.predict_files import predict_files
from petseg.photos.predictor import Predictor
from support.memory import peak_mib
from support.predictors import SIZE, TRIMAP, predict_from_brightness

folder, suffix, tiles = Path(sys.argv[1]), sys.argv[2], None
if sys.argv[3] == "tiles":
    tiles = Tiles(size=512, overlap=64)
predictor = Predictor(predict_from_brightness, TRIMAP, SIZE, tiles=tiles)

def peak_after(name):
    done = predict_files(predictor, [InputFile(folder / (name + suffix), name)], folder / "out", 16)
    assert not done.skipped, done.skipped
    return peak_mib()

first = peak_after("small")
print(peak_after("large") - first)
"""


@pytest.mark.parametrize(
    ("size", "suffix", "tiles", "limit"),
    [
        ((8660, 5774), ".jpg", "whole", 800),  # the photo is 190 MiB, the cutout 190, the mask 48
        ((20_000, 20_000), ".tif", "tiles", 5000),  # 1,526, 1,526, the mask and alpha 381 each
    ],
    ids=["50 megapixels", "400 megapixels in windows"],
)
def test_a_large_photo_needs_memory_for_a_few_copies_of_itself(
    tmp_path, monkeypatch, size, suffix, tiles, limit
):
    for name, its_size in (("small", (40, 20)), ("large", size)):
        options = {"compression": "tiff_deflate"} if suffix == ".tif" else {}
        Image.new("RGB", its_size, (90, 120, 40)).save(tmp_path / f"{name}{suffix}", **options)
    done = subprocess.run(
        [sys.executable, "-c", MEASURE_PEAK, tmp_path, suffix, tiles],
        env={"PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert float(done.stdout) < limit, "MiB"
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    with Image.open(tmp_path / "out" / "large_mask.png") as mask:
        assert mask.size == size
