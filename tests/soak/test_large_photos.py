"""Memory while a photo of 50 megapixels is predicted."""

import subprocess
import sys

from PIL import Image

MEASURE_PEAK = """
import sys
from pathlib import Path
from petseg.photos.find_files import InputFile
from petseg.photos.predict_files import predict_files
from support.memory import peak_mib
from support.predictors import brightness_predictor

folder = Path(sys.argv[1])

def peak_after(name):
    files = [InputFile(folder / f"{name}.jpg", name)]
    predict_files(brightness_predictor(), files, folder / "out", 16)
    return peak_mib()

first = peak_after("small")
print(peak_after("large") - first)
"""


def test_a_50_megapixel_photo_needs_memory_for_a_few_copies_of_itself(tmp_path):
    for name, size in (("small", (40, 20)), ("large", (8660, 5774))):
        Image.new("RGB", size, (90, 120, 40)).save(tmp_path / f"{name}.jpg")
    done = subprocess.run(
        [sys.executable, "-c", MEASURE_PEAK, tmp_path],
        env={"PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert float(done.stdout) < 800, "MiB; the photo is 143, the cutout 191, the mask 48"
    with Image.open(tmp_path / "out" / "large_mask.png") as mask:
        assert mask.size == (8660, 5774)
