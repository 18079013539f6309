"""Training curves and the confusion matrix as PNG files.

This module imports matplotlib and pandas, but not TensorFlow.
"""

import io

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

matplotlib.rcdefaults()  # ignore the user's matplotlibrc

_MAX_NAMED_CLASSES = 30  # in the confusion matrix; more would make an image of over 3000 pixels
_TRAIN_COLOR, _VAL_COLOR = "#0072B2", "#D55E00"  # Okabe and Ito's blue and vermillion


def draw_curves(history: pd.DataFrame) -> bytes:
    """Plot training and validation loss and mean IoU by epoch, and mark the best epoch."""
    figure, (loss_axes, iou_axes) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for axes, key, title in ((loss_axes, "loss", "loss"), (iou_axes, "mean_iou", "mean IoU")):
        for column, color, label in (
            (key, _TRAIN_COLOR, "training (augmented)"),
            (f"val_{key}", _VAL_COLOR, "validation"),
        ):
            axes.plot(
                history["epoch"],
                history[column],
                color=color,
                marker="o",
                markersize=3,
                label=label,
            )
        axes.set(xlabel="epoch", title=title)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.25)
    best = history.iloc[int(history["val_mean_iou"].to_numpy().argmax())]
    iou_axes.axvline(
        best["epoch"],
        color="0.4",
        linestyle=":",
        label=f"best: epoch {best['epoch']:.0f}, {best['val_mean_iou']:.4f}",
    )
    loss_axes.legend()
    iou_axes.legend(loc="lower right")
    return encode_figure(figure)


def draw_confusion(confusion: pd.DataFrame) -> bytes:
    """Plot the confusion matrix: the share of each class's true pixels predicted as each class.

    With more classes than fit, the axes have their numbers and the cells no text.
    """
    names = list(dict.fromkeys(confusion["truth"]))
    matrix = confusion.pivot(index="truth", columns="prediction", values="share")
    shares = matrix.loc[names, names].to_numpy()
    has_room = len(names) <= _MAX_NAMED_CLASSES
    side = 2.2 + 0.9 * len(names) if has_room else 10
    figure, axes = plt.subplots(figsize=(side + 1, side), layout="constrained")
    image = axes.imshow(shares, cmap="cividis", vmin=0, vmax=1)
    if has_room:
        axes.set_xticks(range(len(names)), names, rotation=45 if len(names) > 4 else 0)
        axes.set_yticks(range(len(names)), names)
    axes.set(xlabel="prediction", ylabel="truth", title="share of the true pixels")
    for i, row in enumerate(shares if has_room else ()):
        for j, share in enumerate(row):
            color = "black" if share > 0.6 else "white"
            axes.text(j, i, f"{share:.1%}", ha="center", va="center", color=color)
    figure.colorbar(image, shrink=0.8)
    return encode_figure(figure)


def encode_figure(figure: Figure) -> bytes:
    """Encode a figure as PNG and close it."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=110)
    plt.close(figure)
    return content.getvalue()
