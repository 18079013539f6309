"""Charts as the bytes of PNG files: training curves and the confusion matrix.

Imports matplotlib and pandas, not TensorFlow.
"""

import io

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

matplotlib.rcdefaults()  # whatever the user's matplotlibrc says

_TRAIN, _VAL = "#0072B2", "#D55E00"  # Okabe and Ito's blue and vermillion


def draw_curves(history: pd.DataFrame) -> bytes:
    """Loss and mean IoU by epoch, on training and validation, with the epoch that was kept."""
    figure, (losses, scores) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for axes, key, title in ((losses, "loss", "loss"), (scores, "mean_iou", "mean IoU")):
        axes.plot(
            history["epoch"],
            history[key],
            color=_TRAIN,
            marker="o",
            markersize=3,
            label="training (augmented)",
        )
        axes.plot(
            history["epoch"],
            history[f"val_{key}"],
            color=_VAL,
            marker="o",
            markersize=3,
            label="validation",
        )
        axes.set(xlabel="epoch", title=title)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.25)
    best = history.iloc[int(history["val_mean_iou"].to_numpy().argmax())]
    scores.axvline(
        best["epoch"],
        color="0.4",
        linestyle=":",
        label=f"kept: epoch {best['epoch']:.0f}, {best['val_mean_iou']:.4f}",
    )
    losses.legend()
    scores.legend(loc="lower right")
    return encode_figure(figure)


def draw_confusion(confusion: pd.DataFrame) -> bytes:
    """The confusion matrix: each row the share of a class's true pixels that were predicted as each class."""
    names = list(dict.fromkeys(confusion["truth"]))
    shares = (
        confusion.pivot(index="truth", columns="prediction", values="share")
        .loc[names, names]
        .to_numpy()
    )
    side = 2.2 + 0.9 * len(names)
    figure, axes = plt.subplots(figsize=(side + 1, side), layout="constrained")
    image = axes.imshow(shares, cmap="cividis", vmin=0, vmax=1)
    axes.set_xticks(range(len(names)), names, rotation=45 if len(names) > 4 else 0)
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel="prediction", ylabel="truth", title="share of the true pixels")
    for i, row in enumerate(shares):
        for j, share in enumerate(row):
            axes.text(
                j,
                i,
                f"{share:.1%}",
                ha="center",
                va="center",
                color="black" if share > 0.6 else "white",
            )
    figure.colorbar(image, shrink=0.8)
    return encode_figure(figure)


def encode_figure(figure: Figure) -> bytes:
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=110)
    plt.close(figure)
    return content.getvalue()
