"""The results of a part, as Markdown to read and as JSON to keep."""

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.contenders import Measurement
from petseg.sweeps.gpus import query_gpus

_PACKAGES = (
    "tensorflow",
    "keras",
    "numpy",
    "ai-edge-litert",
    "onnxruntime",
    "dvc",
    "torch",
    "segmentation-models-pytorch",
)


@dataclass(frozen=True)
class Target:
    """A bound that the median should meet."""

    name: str
    values: list[float]  # one per turn
    bound: float
    at_least: bool = True

    @property
    def met(self) -> bool:
        if self.at_least:
            return median(self.values) >= self.bound
        return median(self.values) <= self.bound


@dataclass(frozen=True)
class Table:
    """Contenders to compare; ratios are relative to the first, turn by turn."""

    title: str
    rows: list[Measurement]


@dataclass(frozen=True)
class Results:
    part: str
    tables: list[Table]
    targets: list[Target] = field(default_factory=list)


def to_markdown(results: Results) -> str:
    lines = [f"## {results.part}"]
    for table in results.tables:
        lines += ["", f"**{table.title}**", "", *_rows(table)]
    if results.targets:
        lines += ["", "| target | bound | measured (range) | met |", "|---|---|---|---|"]
    for target in results.targets:
        bound = f"at {'least' if target.at_least else 'most'} {_short(target.bound)}"
        met = "yes" if target.met else "no"
        lines.append(f"| {target.name} | {bound} | {_median_and_range(target.values)} | {met} |")
    return "\n".join(lines)


def to_json(results: Results) -> str:
    """Format all results with the machine and the package versions."""
    document: dict[str, Any] = {
        "machine": describe_machine(),
        "versions": _versions(),
        **asdict(results),
    }
    for target, entry in zip(results.targets, document["targets"], strict=True):
        entry["met"] = target.met
    return json.dumps(document, indent=2) + "\n"


def describe_machine() -> str:
    """Return processor, cores, GPUs and system in one line."""
    system = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    return ", ".join([f"{_processor()}, {os.cpu_count()} cores", *query_gpus("name"), system])


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")),
        "unknown processor",
    )


def _versions() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _rows(table: Table) -> list[str]:
    first = table.rows[0]
    keys = list(dict.fromkeys(key for row in table.rows for key in row.details))
    heads = ["", f"{first.unit} (range)", "cold", "to the first", *keys]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for row in table.rows:
        ratios = [a / b for a, b in zip(row.values, first.values, strict=True)]
        cells = [
            row.name,
            _median_and_range(row.values),
            _short(row.cold),
            f"{median(ratios):.2f}",
            *(_short(row.details.get(key, "")) for key in keys),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _median_and_range(values: Sequence[float]) -> str:
    return f"{_short(median(values))} ({_short(min(values))} to {_short(max(values))})"


def _short(value: float | int | str) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
