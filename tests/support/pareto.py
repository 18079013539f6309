"""Draw docs/images/pareto.png from the table "Accuracy and cost" of docs/results.md.

python tests/support/pareto.py
"""

import re
import sys
from pathlib import Path

_ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(_ROOT / "src"), str(_ROOT / "tests")]

RESULTS = _ROOT / "docs" / "results.md"
_SECTION = "\n## Accuracy and cost\n"
# Okabe and Ito's blue and vermillion
_GROUPS = (("us", "#0072B2", "o"), ("others", "#D55E00", "s"))
_LABEL_LEFT = ("fast pets192 long", "default pets192", "default, ")  # where others are on the right
_TICKS = (100, 200, 500, 1000, 2000, 5000, 10000, 20000)


def read_table() -> list[dict[str, str]]:
    """Return the rows of the section's table as {column: cell}, without bold and code marks."""
    section = RESULTS.read_text(encoding="utf-8").split(_SECTION)[1].split("\n## ")[0]
    lines = [line.replace("`", "") for line in section.splitlines() if line.startswith("|")]
    head, _, *rows = [[cell.strip(" *") for cell in line.strip("|").split("|")] for line in lines]
    return [dict(zip(head, row, strict=True)) for row in rows]


def main() -> None:
    import matplotlib.pyplot as plt

    from petseg.rendering.charts import encode_figure

    figure, axes = plt.subplots(figsize=(11, 5.5), layout="constrained")
    for who, color, marker in _GROUPS:
        rows = [row for row in read_table() if row["trained by"] == who]
        costs = [float(re.sub(r"[^\d.]", "", row["M multiply-adds"])) for row in rows]
        scores = [float(row["mean IoU"]) for row in rows]
        axes.scatter(costs, scores, color=color, marker=marker, label=f"trained by {who}")
        for row, cost, score in zip(rows, costs, scores, strict=True):
            is_left = row["system"].startswith(_LABEL_LEFT)
            axes.annotate(
                row["system"],
                (cost, score),
                xytext=(-7 if is_left else 7, 3 if is_left or who == "others" else -12),
                textcoords="offset points",
                ha="right" if is_left else "left",
            )
    axes.set_xscale("log")
    axes.set_xticks(_TICKS, [f"{tick:,}" for tick in _TICKS])
    axes.set_xticks([], minor=True)
    axes.set(
        xlabel="multiply-adds per image in millions, all views together (logarithmic)",
        ylabel="mean IoU, official test split",
    )
    axes.grid(alpha=0.25)
    axes.legend(loc="lower right")
    (_ROOT / "docs" / "images" / "pareto.png").write_bytes(encode_figure(figure))


if __name__ == "__main__":
    main()
