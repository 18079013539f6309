"""Draw docs/images/contact_sheet.png, petseg data's contact sheet of a folder of synthetic pets.

python tests/support/contact_sheet.py
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

_ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(_ROOT / "src"), str(_ROOT / "tests")]


def main() -> None:
    from petseg.datasets.synthetic.draw import draw_pet
    from petseg.inspection.contact_sheet import draw_contact_sheet
    from support.folders import scan_of, write_mask

    label_of = np.array([0, 1, 0, 255], np.uint8)  # of the trimap's pet, background and border
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "images").mkdir()
        for index in range(12):
            image, trimap, _ = draw_pet(seed=0, index=index, size=192)
            Image.fromarray(image).save(root / "images" / f"pet{index:02d}.png")
            mask = label_of[trimap]
            write_mask(root / "masks" / f"pet{index:02d}.png", mask[:-8] if index == 7 else mask)
        sheet = draw_contact_sheet(scan_of(root, classes=("background", "pet")))
    small = sheet.resize((828, round(sheet.height * 828 / sheet.width)), Image.Resampling.LANCZOS)
    small.quantize(128).save(_ROOT / "docs" / "images" / "contact_sheet.png", optimize=True)


if __name__ == "__main__":
    main()
