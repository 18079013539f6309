"""What a part of the benchmarks finds out: as a table to read and as JSON to keep."""

import json
import os
import platform
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.contenders import Measured

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
    """What was to be reached, and what was."""

    what: str
    values: list[float]  # turn by turn; the median counts
    bound: float
    at_least: bool = True

    @property
    def met(self) -> bool:
        return (
            median(self.values) >= self.bound
            if self.at_least
            else median(self.values) <= self.bound
        )


@dataclass(frozen=True)
class Table:
    """Contenders side by side; ratios are to the first of them, turn by turn."""

    title: str
    rows: list[Measured]


@dataclass(frozen=True)
class Outcome:
    part: str
    tables: list[Table]
    targets: list[Target] = field(default_factory=list)


def show(outcome: Outcome) -> str:
    """Tables in Markdown."""
    lines = [f"## {outcome.part}"]
    for table in outcome.tables:
        lines += ["", f"**{table.title}**", "", *_rows(table)]
    if outcome.targets:
        lines += ["", "| target | bound | measured (range) | met |", "|---|---|---|---|"]
    for target in outcome.targets:
        sign = "at least" if target.at_least else "at most"
        lines.append(
            f"| {target.what} | {sign} {_short(target.bound)} | {_spread(target.values)} | "
            f"{'yes' if target.met else 'no'} |"
        )
    return "\n".join(lines)


def as_json(outcome: Outcome) -> str:
    """Everything, with the machine and the versions that it was found on."""
    document: dict[str, Any] = {
        "machine": describe_machine(),
        "versions": _versions(),
        **asdict(outcome),
    }
    for target, told in zip(outcome.targets, document["targets"], strict=True):
        told["met"] = target.met
    return json.dumps(document, indent=2) + "\n"


def describe_machine() -> str:
    """Processor, cores, GPUs, system."""
    system = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    return ", ".join([f"{_processor()}, {os.cpu_count()} cores", *_gpus(), system])


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")),
        "unknown processor",
    )


def _gpus() -> list[str]:
    if shutil.which("nvidia-smi") is None:
        return []
    told = subprocess.run(
        ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"], capture_output=True, text=True
    )
    return told.stdout.splitlines() if told.returncode == 0 else []


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
    keys = list(dict.fromkeys(key for row in table.rows for key in row.facts))
    heads = ["", f"{first.unit} (range)", "cold", "to the first", *keys]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for row in table.rows:
        ratios = [a / b for a, b in zip(row.values, first.values, strict=True)]
        facts = [_short(row.facts.get(key, "")) for key in keys]
        lines.append(
            f"| {' | '.join([row.name, _spread(row.values), _short(row.first), f'{median(ratios):.2f}', *facts])} |"
        )
    return lines


def _spread(values: Sequence[float]) -> str:
    return f"{_short(median(values))} ({_short(min(values))} to {_short(max(values))})"


def _short(value: float | int | str) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
