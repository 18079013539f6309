"""Charts as PNG files."""

import io

import pandas as pd
import pytest
from PIL import Image

from petseg.rendering.charts import draw_confusion, draw_curves

HISTORY = pd.DataFrame(
    {
        "epoch": [1, 2],
        "loss": [1.0, 0.5],
        "val_loss": [1.1, 0.7],
        "mean_iou": [0.3, 0.5],
        "val_mean_iou": [0.2, 0.4],
    }
)
CONFUSION = pd.DataFrame(
    {
        "truth": ["b", "b", "a", "a"],
        "prediction": ["b", "a", "b", "a"],
        "share": [0.9, 0.1, 0.2, 0.8],
    }
)


@pytest.mark.parametrize(
    ("draw", "table"),
    [(draw_curves, HISTORY), (draw_confusion, CONFUSION)],
    ids=["curves", "confusion"],
)
def test_the_same_table_gives_the_same_png(draw, table):
    png = draw(table)
    assert draw(table) == png
    with Image.open(io.BytesIO(png)) as image:
        assert min(image.size) > 300


def test_the_confusion_of_many_classes_fits_on_a_screen():
    names = [f"class {number}" for number in range(255)]
    pairs = [(truth, prediction) for truth in names for prediction in names]
    table = pd.DataFrame(pairs, columns=["truth", "prediction"]).assign(share=0.5)
    with Image.open(io.BytesIO(draw_confusion(table))) as image:
        assert max(image.size) < 1500
