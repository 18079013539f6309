"""Measures petseg against its peers and the machine's limits.

    python -m benchmarks               every part; what `make bench` calls
    python -m benchmarks train_step    one part

Each part prints its tables and writes them to benchmarks/results/PART.json. Contenders take turns in processes of their
own, and medians of the turns are told with their range. Nothing else should run meanwhile.
"""

import importlib
import sys
import tempfile
from pathlib import Path
from typing import Any

import click

from benchmarks.findings import as_json, describe_machine, show
from benchmarks.options import Options

PARTS = (
    "limits",
    "input",
    "train_step",
    "evaluate",
    "render",
    "predict",
    "preprocess",
    "overhead",
    "memory",
    "storage",
    "time_to_quality",
)
_NEEDS_PHOTOS = ("time_to_quality",)
_RESULTS = Path(__file__).resolve().parent / "results"
_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path, resolve_path=True)


@click.command(help=__doc__)
@click.argument("parts", nargs=-1, type=click.Choice(PARTS), metavar="[PART]...")
@click.option(
    "--repetitions", type=click.IntRange(1), default=5, show_default=True, help="Turns that count."
)
@click.option(
    "--seconds",
    type=click.FloatRange(0.01),
    default=3.0,
    show_default=True,
    help="Of a repetition.",
)
@click.option(
    "--size",
    "sizes",
    type=click.IntRange(32),
    multiple=True,
    default=(128, 256),
    show_default=True,
    help="Pixels a side; a multiple of 32.",
)
@click.option(
    "--pictures", type=click.IntRange(100), default=1000, show_default=True, help="Drawn by code."
)
@click.option(
    "--most",
    type=click.IntRange(1000),
    default=10_000,
    show_default=True,
    help="Pictures of the largest set in the part memory.",
)
@click.option(
    "--photos",
    type=_FOLDER,
    help="A real data set in the Oxford layout; time_to_quality needs one.",
)
@click.option(
    "--weights",
    type=click.Path(exists=True, dir_okay=False, path_type=Path, resolve_path=True),
    help="Of the ImageNet encoder, likewise.",
)
@click.option(
    "--scratch",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep the data sets in this folder for the next call.",
)
def main(parts: tuple[str, ...], scratch: Path | None, **told: Any) -> None:
    """See the module."""
    print(f"{describe_machine()}\n", flush=True)
    with tempfile.TemporaryDirectory(prefix="petseg-bench-") as temporary:
        folder = (scratch or Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        options = Options(scratch=folder, **told)
        missed = 0
        for part in parts or PARTS:
            if part in _NEEDS_PHOTOS and not (options.photos and options.weights):
                print(f"## {part}\n\nLeft out: it needs --photos and --weights.\n", flush=True)
                continue
            outcome = importlib.import_module(f"benchmarks.parts.{part}").run(options)
            print(f"{show(outcome)}\n", flush=True)
            _RESULTS.mkdir(exist_ok=True)
            (_RESULTS / f"{part}.json").write_text(as_json(outcome), encoding="utf-8")
            missed += sum(not target.met for target in outcome.targets)
    if missed:
        print(f"{missed} targets missed.")


if __name__ == "__main__":
    sys.exit(main())
