"""Charts as the bytes of PNG files: training curves, the confusion matrix, a sweep's experiments.

Imports matplotlib and pandas, not TensorFlow.
"""

import io
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

matplotlib.rcdefaults()  # whatever the user's matplotlibrc says

_TRAIN, _VAL = "#0072B2", "#D55E00"  # Okabe and Ito's blue and vermillion


def draw_curves(history: pd.DataFrame) -> bytes:
    """Loss and mean IoU by epoch, on training and validation, with the epoch that was kept."""
    figure, (losses, scores) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for axes, key, title in ((losses, "loss", "loss"), (scores, "mean_iou", "mean IoU")):
        axes.plot(history["epoch"], history[key], color=_TRAIN, marker="o", markersize=3, label="training (augmented)")
        axes.plot(history["epoch"], history[f"val_{key}"], color=_VAL, marker="o", markersize=3, label="validation")
        axes.set(xlabel="epoch", title=title)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.25)
    best = history.iloc[int(history["val_mean_iou"].to_numpy().argmax())]
    scores.axvline(
        best["epoch"], color="0.4", linestyle=":", label=f"kept: epoch {best['epoch']:.0f}, {best['val_mean_iou']:.4f}"
    )
    losses.legend()
    scores.legend(loc="lower right")
    return _png(figure)


def draw_confusion(confusion: pd.DataFrame) -> bytes:
    """The confusion matrix: each row the share of a class's true pixels that were predicted as each class."""
    names = list(dict.fromkeys(confusion["truth"]))
    shares = confusion.pivot(index="truth", columns="prediction", values="share").loc[names, names].to_numpy()
    side = 2.2 + 0.9 * len(names)
    figure, axes = plt.subplots(figsize=(side + 1, side), layout="constrained")
    image = axes.imshow(shares, cmap="cividis", vmin=0, vmax=1)
    axes.set_xticks(range(len(names)), names, rotation=45 if len(names) > 4 else 0)
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel="prediction", ylabel="truth", title="share of the true pixels")
    for i, row in enumerate(shares):
        for j, share in enumerate(row):
            axes.text(j, i, f"{share:.1%}", ha="center", va="center", color="black" if share > 0.6 else "white")
    figure.colorbar(image, shrink=0.8)
    return _png(figure)


def draw_parallel_coordinates(experiments: pd.DataFrame, keys: list[str], metric: str) -> bytes:
    """An axis for each swept parameter and one for the metric, a line for each experiment, coloured by the metric.

    A parameter's values stand evenly on its axis, whatever they are; numbers in their order.
    """
    heights = parallel_heights(experiments, keys, metric)
    scores = experiments[metric].to_numpy(float)
    figure, axes = plt.subplots(figsize=(2.5 + 2 * len(keys), 4.5), layout="constrained")
    colours = plt.get_cmap("viridis")
    for place in scores.argsort():  # the best one last, above the others
        line = heights[place]
        axes.plot(range(len(line)), line, color=colours(0.9 * line[-1]), marker="o", markersize=4, linewidth=1.5)
    for position, key in enumerate(keys):
        axes.axvline(position, color="0.6", linewidth=1, zorder=0)
        for height, value in set(zip(heights[:, position], map(str, experiments[key]), strict=True)):
            _label(axes, value, position, height, right=False)
    axes.axvline(len(keys), color="0.6", linewidth=1, zorder=0)
    for place in {scores.argmin(), scores.argmax()}:
        _label(axes, f"{scores[place]:.4f}", len(keys), heights[place, -1], right=True)
    axes.set_xticks(range(len(keys) + 1), [*keys, metric])
    axes.set(yticks=[], xlim=(-0.5, len(keys) + 0.5), ylim=(0, 1))
    axes.spines[:].set_visible(False)
    return _png(figure)


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


def parallel_heights(experiments: pd.DataFrame, keys: list[str], metric: str) -> NDArray[np.float64]:
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


def _png(figure: Figure) -> bytes:
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=110)
    plt.close(figure)
    return content.getvalue()
