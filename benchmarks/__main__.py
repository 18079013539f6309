"""Benchmarks of petseg against its peers and the machine's limits.

\b
  python -m benchmarks               run every part, as `make bench` does
  python -m benchmarks train_step    run one part

Each part prints its tables and writes them to benchmarks/results/PART.json. Contenders run in
separate processes and take turns; the tables show medians and ranges. Run nothing else meanwhile.
"""

import importlib
import sys
import tempfile
from pathlib import Path
from typing import Any

import click

from benchmarks.options import Options
from benchmarks.results import describe_machine, to_json, to_markdown

PARTS = (
    "limits",
    "input",
    "train_step",
    "evaluate",
    "render",
    "predict",
    "recipes",
    "preprocess",
    "overhead",
    "memory",
    "storage",
    "time_to_quality",
)
_NEED_PHOTOS = ("time_to_quality",)
_RESULTS = Path(__file__).resolve().parent / "results"
_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path, resolve_path=True)
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path, resolve_path=True)


@click.command(help=__doc__)
@click.argument("parts", nargs=-1, type=click.Choice(PARTS), metavar="[PART]...")
@click.option(
    "--repetitions",
    type=click.IntRange(1),
    default=5,
    show_default=True,
    help="Number of measured turns.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(0.01),
    default=3.0,
    show_default=True,
    help="Minimum duration of a repetition.",
)
@click.option(
    "--size",
    "sizes",
    type=click.IntRange(32),
    multiple=True,
    default=(128, 256),
    show_default=True,
    help="Pixels per side, a multiple of 32.",
)
@click.option(
    "--num-images",
    type=click.IntRange(100),
    default=1000,
    show_default=True,
    help="Number of synthetic images.",
)
@click.option(
    "--max-images",
    type=click.IntRange(1000),
    default=10_000,
    show_default=True,
    help="Size of the largest data set in the memory part.",
)
@click.option(
    "--photos", type=_FOLDER, help="A real data set in the Oxford layout; time_to_quality needs it."
)
@click.option(
    "--weights", type=_FILE, help="ImageNet weights of the encoder; time_to_quality needs them."
)
@click.option(
    "--scratch",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep the data sets in this folder for the next run.",
)
def main(parts: tuple[str, ...], scratch: Path | None, **values: Any) -> None:
    print(f"{describe_machine()}\n", flush=True)
    with tempfile.TemporaryDirectory(prefix="petseg-bench-") as temporary:
        folder = (scratch or Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        options = Options(scratch=folder, **values)
        num_missed = 0
        for part in parts or PARTS:
            if part in _NEED_PHOTOS and not (options.photos and options.weights):
                print(f"## {part}\n\nSkipped: needs --photos and --weights.\n", flush=True)
                continue
            results = importlib.import_module(f"benchmarks.parts.{part}").run(options)
            print(f"{to_markdown(results)}\n", flush=True)
            _RESULTS.mkdir(exist_ok=True)
            (_RESULTS / f"{part}.json").write_text(to_json(results), encoding="utf-8")
            num_missed += sum(not target.met for target in results.targets)
    if num_missed:
        print(f"{num_missed} targets missed.")


if __name__ == "__main__":
    sys.exit(main())
