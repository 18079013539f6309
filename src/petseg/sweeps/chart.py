"""A sweep's experiments as a parallel-coordinates chart.

Imports matplotlib and pandas, not TensorFlow.
"""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import NDArray

from petseg.rendering.charts import encode_figure


def draw_parallel_coordinates(experiments: pd.DataFrame, keys: list[str], metric: str) -> bytes:
    """An axis for each swept parameter and one for the metric, a line for each experiment, colored by the metric.

    A parameter's values stand evenly on its axis, whatever they are; numbers in their order.
    """
    heights = parallel_heights(experiments, keys, metric)
    scores = experiments[metric].to_numpy(float)
    figure, axes = plt.subplots(figsize=(2.5 + 2 * len(keys), 4.5), layout="constrained")
    colors = plt.get_cmap("viridis")
    for place in scores.argsort():  # the best one last, above the others
        line = heights[place]
        axes.plot(
            range(len(line)),
            line,
            color=colors(0.9 * line[-1]),
            marker="o",
            markersize=4,
            linewidth=1.5,
        )
    for position, key in enumerate(keys):
        axes.axvline(position, color="0.6", linewidth=1, zorder=0)
        for height, value in set(
            zip(heights[:, position], map(str, experiments[key]), strict=True)
        ):
            _label(axes, value, position, height, right=False)
    axes.axvline(len(keys), color="0.6", linewidth=1, zorder=0)
    for place in {scores.argmin(), scores.argmax()}:
        _label(axes, f"{scores[place]:.4f}", len(keys), heights[place, -1], right=True)
    axes.set_xticks(range(len(keys) + 1), [*keys, metric])
    axes.set(yticks=[], xlim=(-0.5, len(keys) + 0.5), ylim=(0, 1))
    axes.spines[:].set_visible(False)
    return encode_figure(figure)


def _label(axes: Axes, text: str, x: float, y: float, right: bool) -> None:
    axes.annotate(
        text,
        (x, y),
        (6 if right else -6, 0),
        textcoords="offset points",
        horizontalalignment="left" if right else "right",
        verticalalignment="center",
        bbox={"facecolor": "white", "linewidth": 0, "pad": 1},
    )


def parallel_heights(
    experiments: pd.DataFrame, keys: list[str], metric: str
) -> NDArray[np.float64]:
    """Where each experiment's line crosses the axes of the keys and of the metric, from 0 to 1."""
    scores = experiments[metric].to_numpy(float)
    margin = 0.05 * float(np.ptp(scores)) or 0.01
    places = (scores - scores.min() + margin) / (np.ptp(scores) + 2 * margin)
    return np.column_stack([*(_even_places(list(experiments[key])) for key in keys), places])


def _even_places(values: list[Any]) -> list[float]:
    kinds = {repr(value): value for value in values}
    are_numbers = all(isinstance(value, int | float) for value in kinds.values())
    order = sorted(kinds, key=lambda kind: kinds[kind] if are_numbers else kind)
    return [(order.index(repr(value)) + 0.5) / len(order) for value in values]
