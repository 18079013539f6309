"""The project's promises about itself: who imports whom, what dvc.yaml says, what the README and the pins say."""

import ast
import functools
import importlib
import importlib.metadata
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from support.project import ROOT

SRC = ROOT / "src"

# From the ground up: a room may import from its own line and the lines above it.
ROOMS = [
    {"__init__", "errors"},
    {
        "classes",
        "cluster",
        "hashing",
        "files",
        "validation",
        "startup",
        "scorer",
        "remote",
        "threads",
    },
    {"fields"},
    {"params", "backups"},
    {"streams", "confusion", "determinism"},
    {"datasets"},
    {"records"},
    {"augment"},
    {"batches"},
    {"model"},
    {"training"},
    {"evaluation"},
    {"exporting"},
    {"rendering"},
    {"reporting"},
    {"inference"},
    {"sweeps"},
    {"cli"},
]


def module_files(name):
    """The files that `import name` runs, for a module of the package."""
    parts = name.split(".")
    for depth in range(1, len(parts) + 1):
        path = SRC.joinpath(*parts[:depth])
        if (path / "__init__.py").is_file():
            yield path / "__init__.py"
        elif path.with_suffix(".py").is_file():
            yield path.with_suffix(".py")


def imports_of(path):
    """The package's modules that a file imports, also inside functions."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in names:
            if name == "_stage":
                yield ROOT / "stages" / "_stage.py"
            elif name.split(".")[0] == "petseg":
                yield from module_files(name)


def reached_from(path):
    """A file and all files of the project that it imports, directly or not."""
    found, waiting = set(), [path]
    while waiting:
        file = waiting.pop()
        if file not in found:
            found.add(file)
            waiting.extend(imports_of(file))
    return found


def python_files(dependency):
    path = ROOT / dependency
    return set(path.rglob("*.py")) if path.is_dir() else {path} if path.suffix == ".py" else set()


@pytest.mark.parametrize(
    "stage", ["download", "preprocess", "train", "evaluate", "export", "render", "report"]
)
def test_a_stage_s_dependencies_are_what_it_imports(stage):
    deps = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"][stage]["deps"]
    declared = set().union(*(python_files(dep) for dep in deps))
    needed = reached_from(ROOT / "stages" / f"{stage}.py")
    assert {str(f.relative_to(ROOT)) for f in needed} == {
        str(f.relative_to(ROOT)) for f in declared
    }


def room_of(path):
    return path.relative_to(SRC / "petseg").parts[0].removesuffix(".py")


def test_no_import_runs_back_up():
    level = {room: number for number, rooms in enumerate(ROOMS) for room in rooms}
    for path in (SRC / "petseg").rglob("*.py"):
        for imported in imports_of(path):
            assert level[room_of(imported)] <= level[room_of(path)], (
                f"{path.name} imports {imported.name}"
            )


@pytest.mark.parametrize("place", ["model", "training/losses.py", "confusion.py"])
def test_model_and_losses_are_pure_keras(place):
    path = SRC / "petseg" / place
    for file in [path] if path.is_file() else path.rglob("*.py"):
        assert "tensorflow" not in file.read_text(encoding="utf-8").lower().replace(
            "tensorflow's", ""
        ), file


def test_light_modules_import_neither_tensorflow_nor_dvc():
    code = (
        "import sys, petseg.config.params, petseg.rendering.charts, petseg.cli, petseg.inference.predictor\n"
        "print([m for m in sys.modules if m.split('.')[0] in ('tensorflow', 'keras', 'dvc')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={"PYTHONPATH": str(SRC)}
    )
    assert done.stdout.strip() == "[]", done.stderr


def test_every_out_is_ignored_by_git_or_kept_by_it():
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    for stage in stages.values():
        for kind in ("outs", "metrics", "plots"):
            for entry in stage.get(kind, []):
                name, options = (entry, {}) if isinstance(entry, str) else next(iter(entry.items()))
                cached = options.get("cache", True)
                assert (f"/{name}" in ignored) == cached, name
                assert "persist" not in options
                assert cached or kind != "outs", (
                    "an uncached out keeps a stage out of DVC's run-cache"
                )


def test_every_parameter_is_one_of_a_stage():
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    used = {param.split(".")[0] for stage in stages.values() for param in stage["params"]}
    assert used == set(yaml.safe_load((ROOT / "params.yaml").read_text()))


def pins():
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def test_everything_is_pinned_without_an_address():
    assert "://" not in (ROOT / "requirements.txt").read_text()
    assert all(re.fullmatch(r"==[\w.+]+", str(pin.specifier)) for pin in pins())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    texts = [*project["dependencies"], *extras["beam"], *extras["demo"], *extras["dev"]]
    pinned = {pin.name.lower().replace("_", "-"): pin for pin in pins()}
    for requirement in map(Requirement, texts):
        pin = pinned[requirement.name.lower().replace("_", "-")]
        assert requirement.specifier.contains(next(iter(pin.specifier)).version), requirement


def test_what_is_installed_is_what_is_pinned():
    for pin in pins():
        if pin.marker is None or pin.marker.evaluate():
            assert importlib.metadata.version(pin.name) == next(iter(pin.specifier)).version, (
                pin.name
            )


def test_the_readme_shows_the_pipeline_s_graph():
    dvc = Path(sys.executable).with_name("dvc")
    graph = subprocess.run(
        [dvc, "dag", "--mermaid"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    wanted = [line.strip() for line in graph.strip().splitlines()]
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = re.search(r"```mermaid\n(.*?)```", readme, re.DOTALL)
    assert shown is not None
    assert [line.strip() for line in shown[1].strip().splitlines()] == wanted


def first_screen(readme):
    """The picture, commands, figures and links of a README above its first heading."""
    text = (ROOT / readme).read_text(encoding="utf-8").split("\n## ")[0]
    blocks = re.findall(r"^```.*?^```$", text, re.DOTALL | re.MULTILINE)
    commands = [re.sub(r"#.*", "", line).rstrip() for line in "\n".join(blocks).splitlines()]
    links = sorted(set(re.findall(r"\]\(([^)#]+)\)", text)) - {"README.md", "README.es.md"})
    return commands, re.findall(r"0\.\d{4}", text), links


def test_the_spanish_readme_opens_with_the_same_picture_commands_figures_and_links():
    assert first_screen("README.es.md") == first_screen("README.md")


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").split()) <= 1000


def test_every_file_that_the_documents_link_to_is_there():
    for document in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("data/*/*.md")]:
        for target in re.findall(r"\]\(([^)#]+)\)", document.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (document.parent / target).exists(), f"{document.name} links to {target}"


def test_committed_results_are_those_of_the_committed_parameters():
    lock = yaml.safe_load((ROOT / "dvc.lock").read_text())["stages"]
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    for name, stage in lock.items():
        for key, value in stage["params"]["params.yaml"].items():
            current = functools.reduce(lambda section, part: section[part], key.split("."), params)
            assert current == value, f"{name}: run dvc repro and commit dvc.lock, metrics and plots"
