"""The chart of a sweep."""

import os
import subprocess
import sys

import numpy as np
import pandas as pd

from petseg.sweeps.chart import draw_parallel_coordinates, line_heights

TABLE = pd.DataFrame(
    {"rate": [0.1, 0.02, 0.1], "decoder": ["full", "full", "separable"], "iou": [0.5, 0.9, 0.7]},
    index=[2, 0, 1],
)


def test_lines_cross_the_axes_at_their_values():
    heights = line_heights(TABLE, ["rate", "decoder"], "iou")
    assert np.allclose(heights[:, 0], [0.75, 0.25, 0.75])
    assert np.allclose(heights[:, 1], [0.25, 0.25, 0.75])
    assert np.allclose(heights[:, 2], [0.05 / 1.1, 1.05 / 1.1, 0.5])


def test_a_single_experiment_is_drawn_in_the_middle():
    assert np.allclose(line_heights(TABLE[:1], ["rate"], "iou"), 0.5)


def test_the_chart_has_the_same_bytes_in_every_process():
    """Where labels overlap, their order shows."""
    code = """
import hashlib, pandas as pd
from petseg.sweeps.chart import draw_parallel_coordinates
table = pd.DataFrame({"rate": [f"value {i}" for i in range(60)], "iou": range(60)})
print(hashlib.sha256(draw_parallel_coordinates(table, ["rate"], "iou")).hexdigest())
"""
    printed = {
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in "12"
    }
    assert len(printed) == 1


def test_the_chart_is_a_png():
    png = draw_parallel_coordinates(TABLE, ["rate", "decoder"], "iou")
    assert png.startswith(b"\x89PNG")
