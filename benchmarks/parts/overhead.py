"""How long an up-to-date `make repro`, the start of each stage, and quick commands take."""

import ast
import shutil
import sys
from pathlib import Path

from benchmarks.commands import prepare_command, run_command
from benchmarks.contenders import Contender, Measurement, take_turns
from benchmarks.options import Options
from benchmarks.results import Results, Table, Target
from support.clones import make_clone, stages_of

_MAX_INSTANT_MS = 300


def start_of(stage: Path) -> str:
    """Return Python code that does what a stage's script does before it calls the package."""
    tree = ast.parse(stage.read_text(encoding="utf-8"))
    main = next(
        node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "main"
    )
    imports = [ast.unparse(node) for node in main.body if isinstance(node, ast.ImportFrom)]
    before = [
        f"import sys; sys.path.insert(0, {str(stage.parent)!r})",
        "from _stage import import_tensorflow, load_params",
        "load_params()",
        "import_tensorflow()",
    ]
    return "\n".join([*before, *imports])


def run(options: Options) -> Results:
    folder = options.scratch / "overhead"
    shutil.rmtree(folder, ignore_errors=True)
    clone = make_clone(folder)
    print("Running a tiny pipeline first.", flush=True)
    run_command(["make", "-o", "setup", "repro"], clone.path)
    invalid = clone.path / "invalid"
    invalid.mkdir()
    (invalid / "params.yaml").write_text(
        (clone.path / "params.yaml").read_text().replace("epochs", "epoch")
    )
    python = sys.executable

    def turns(commands: dict[str, tuple[list[str], Path, bool]]) -> list[Measurement]:
        return take_turns(
            [
                Contender(name, prepare_command, {"argv": argv, "cwd": cwd, "ok": ok})
                for name, (argv, cwd, ok) in commands.items()
            ],
            "ms",
            options.repetitions,
        )

    instant = turns(
        {
            "`petseg --help`": (["petseg", "--help"], clone.path, True),
            "`python -m petseg.config.params` with invalid values": (
                [python, "-m", "petseg.config.params"],
                invalid,
                False,
            ),
            "`python -c pass`": ([python, "-c", "pass"], clone.path, True),
        }
    )
    nothing_to_do = turns(
        {
            "`dvc status`": (["dvc", "status"], clone.path, True),
            "`dvc repro`": (["dvc", "repro"], clone.path, True),
            "`make repro`, without set-up": (
                ["make", "-o", "setup", "repro"],
                clone.path,
                True,
            ),
        }
    )
    starts = turns(
        {
            "`import tensorflow`": ([python, "-c", "import tensorflow"], clone.path, True),
            **{
                name: (
                    [python, "-c", start_of(clone.path / "stages" / f"{name}.py")],
                    clone.path,
                    True,
                )
                for name in stages_of(clone.path)
            },
        }
    )
    tables = [
        Table("Commands that should be instant", instant),
        Table("Nothing to do", nothing_to_do),
        Table("The start of each stage, before its first useful work", starts),
    ]
    targets = [
        Target(f"ms of {row.name}", row.values, _MAX_INSTANT_MS, at_least=False)
        for row in instant[:2]
    ]
    return Results("overhead", tables, targets)
