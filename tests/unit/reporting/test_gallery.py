"""The selection of images for the page."""

import numpy as np
import pandas as pd

from petseg.reporting.gallery import select_names


def test_the_best_the_median_and_the_worst_are_selected():
    names = [f"{i:02}" for i in range(11)]
    scores = [*np.linspace(0, 1, 11), np.nan]
    table = pd.DataFrame({"file_name": [*names, "undefined"], "mean_iou": scores})
    assert select_names(table, 3) == {
        "best": ["10", "09", "08"],
        "median": ["04", "05", "06"],
        "worst": names[:3],
    }
    assert select_names(table, 50)["median"] == names
