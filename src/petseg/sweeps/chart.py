"""Draw a sweep's experiments as parallel coordinates. Imports matplotlib but not TensorFlow."""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import NDArray

from petseg.rendering.charts import encode_figure


def draw_parallel_coordinates(experiments: pd.DataFrame, keys: list[str], metric: str) -> bytes:
    """Draw one axis per swept parameter and one for the metric, and one line per experiment.

    The metric determines a line's color. A parameter's values are evenly spaced, numbers in order.
    """
    heights = line_heights(experiments, keys, metric)
    values = experiments[metric].to_numpy(float)
    figure, axes = plt.subplots(figsize=(2.5 + 2 * len(keys), 4.5), layout="constrained")
    colors = plt.get_cmap("viridis")
    for row in values.argsort():  # the largest last, on top
        line = heights[row]
        color = colors(0.9 * line[-1])
        axes.plot(range(len(line)), line, color=color, marker="o", markersize=4, linewidth=1.5)
    for x, key in enumerate(keys):
        axes.axvline(x, color="0.6", linewidth=1, zorder=0)
        for y, text in sorted(set(zip(heights[:, x], map(str, experiments[key]), strict=True))):
            _label(axes, text, x, y, side="left")
    axes.axvline(len(keys), color="0.6", linewidth=1, zorder=0)
    for row in {values.argmin(), values.argmax()}:
        _label(axes, f"{values[row]:.4f}", len(keys), heights[row, -1], side="right")
    axes.set_xticks(range(len(keys) + 1), [*keys, metric])
    axes.set(yticks=[], xlim=(-0.5, len(keys) + 0.5), ylim=(0, 1))
    axes.spines[:].set_visible(False)
    return encode_figure(figure)


def line_heights(experiments: pd.DataFrame, keys: list[str], metric: str) -> NDArray[np.float64]:
    """Return where each line crosses each axis, (experiments, keys + 1), from 0 to 1."""
    values = experiments[metric].to_numpy(float)
    margin = 0.05 * float(np.ptp(values)) or 0.01
    metric_heights = (values - values.min() + margin) / (np.ptp(values) + 2 * margin)
    return np.column_stack(
        [*(_even_heights(list(experiments[key])) for key in keys), metric_heights]
    )


def _even_heights(values: list[Any]) -> list[float]:
    distinct = {repr(value): value for value in values}
    are_numbers = all(isinstance(value, int | float) for value in distinct.values())
    order = sorted(distinct, key=lambda text: distinct[text] if are_numbers else text)
    return [(order.index(repr(value)) + 0.5) / len(order) for value in values]


def _label(axes: Axes, text: str, x: float, y: float, side: str) -> None:
    axes.annotate(
        text,
        (x, y),
        xytext=(-6 if side == "left" else 6, 0),
        textcoords="offset points",
        horizontalalignment="right" if side == "left" else "left",
        verticalalignment="center",
        bbox={"facecolor": "white", "linewidth": 0, "pad": 1},
    )
