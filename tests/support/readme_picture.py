"""Draw docs/images/cat_prediction.jpg: the photo of a cat, what `pets` predicts, and the cutout.

python tests/support/readme_picture.py
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

_ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(_ROOT / "src")]

_IMAGES = _ROOT / "docs" / "images"
_CHECK = 10  # pixels per square behind the cutout


def main() -> None:
    import petseg
    from petseg.photos.outputs import cutout, overlay

    photo = Image.open(_IMAGES / "cat.png").convert("RGB")
    prediction = petseg.load("pets").predict(photo)
    cut = cutout(photo, prediction)
    assert cut is not None
    y, x = np.indices((photo.height, photo.width)) // _CHECK
    squares = Image.fromarray(np.where((x + y) % 2, 255, 225).astype(np.uint8)).convert("RGB")
    squares.paste(cut, mask=cut.getchannel("A"))
    panels = (photo, overlay(photo, prediction), squares)
    joined = Image.new("RGB", (sum(panel.width + 8 for panel in panels) - 8, photo.height), "white")
    for index, panel in enumerate(panels):
        joined.paste(panel, (index * (photo.width + 8), 0))
    joined.save(_IMAGES / "cat_prediction.jpg", quality=88, optimize=True)


if __name__ == "__main__":
    main()
