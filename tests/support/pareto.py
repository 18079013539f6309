"""Draw docs/images/pareto.png from the table "Accuracy and cost" of docs/results.md.

python tests/support/pareto.py
"""

import sys
from pathlib import Path

_ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(_ROOT / "src"), str(_ROOT / "tests")]

RESULTS = _ROOT / "docs" / "results.md"
_SECTION = "\n## Accuracy and cost\n"
_OURS, _THEIRS = "#0072B2", "#D55E00"  # Okabe and Ito's blue and vermillion


def read_table() -> list[dict[str, str]]:
    """Return the rows of the section's table as {column: cell}, without bold and code marks."""
    section = RESULTS.read_text(encoding="utf-8").split(_SECTION)[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    head, _, *rows = [[cell.strip(" *`") for cell in line.strip("|").split("|")] for line in lines]
    return [dict(zip(head, row, strict=True)) for row in rows]


def main() -> None:
    import matplotlib.pyplot as plt

    from petseg.rendering.charts import encode_figure

    figure, axes = plt.subplots(figsize=(9, 5.5), layout="constrained")
    for row in read_table():
        cost = float(row["M multiply-adds"].replace(",", ""))
        mean_iou = float(row["mean IoU"])
        is_ours = row["from"] == "us"
        axes.scatter(
            cost, mean_iou, color=_OURS if is_ours else _THEIRS, marker="o" if is_ours else "s"
        )
        axes.annotate(
            row["system"], (cost, mean_iou), xytext=(7, -3), textcoords="offset points", fontsize=9
        )
    axes.set_xscale("log")
    axes.set(
        xlabel="multiply-adds per image in millions, all views together (logarithmic)",
        ylabel="mean IoU, official test split",
    )
    axes.grid(alpha=0.25)
    (_ROOT / "docs" / "images" / "pareto.png").write_bytes(encode_figure(figure))


if __name__ == "__main__":
    main()
