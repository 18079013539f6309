"""The project's promises about itself: imports, dvc.yaml, the READMEs, the pinned packages."""

import ast
import dataclasses
import functools
import importlib.metadata
import re
import subprocess
import sys
import tomllib
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from petseg.config.paths import PipelinePaths
from support.clones import outs_of, stages_of
from support.project import ROOT
from support.stages import STAGES

SRC = ROOT / "src"
PACKAGE = SRC / "petseg"
DVC_STAGES = stages_of(ROOT)

# From the ground up: a component (a folder or a top-level module) imports only from the lines above its own.
COMPONENTS = [
    {"core"},
    {
        "config",
        "raw",
        "images",
        "image_encoding",
        "metrics",
        "determinism",
        "overlays",
        "own_files",
    },
    {"shards"},
    {"batches", "model"},
    {"pretrained"},
    {"datasets", "preprocessing", "training", "prediction"},
    {"evaluation", "exporting", "rendering", "reporting"},
    {"photos", "publishing", "sweeps", "inspection", "label_review", "web"},
    {"cli"},
    {"__main__"},
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


@functools.cache
def imports_of(path):
    """The package's modules that a file imports, also inside functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in names:
            if name == "_stage":
                found.add(ROOT / "stages" / "_stage.py")
            elif name.split(".")[0] == "petseg":
                found.update(module_files(name))
    return found


def reached_from(path):
    """A file and all files of the project that it imports, directly or not."""
    found, waiting = set(), [path]
    while waiting:
        file = waiting.pop()
        if file not in found:
            found.add(file)
            waiting.extend(imports_of(file))
    return found


def code_deps(stage):
    return [dep for dep in DVC_STAGES[stage]["deps"] if dep.startswith(("src/", "stages/"))]


def python_files(dependency):
    path = ROOT / dependency
    return set(path.rglob("*.py")) if path.is_dir() else {path}


def names_of(files):
    return {str(file.relative_to(ROOT)) for file in files}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_exactly_the_code_it_imports(stage):
    declared = set().union(*map(python_files, code_deps(stage)))
    needed = reached_from(ROOT / "stages" / f"{stage}.py")
    assert names_of(needed) == names_of(declared)


def test_code_dependencies_are_few_whole_folders_and_root_modules():
    assert list(DVC_STAGES) == list(STAGES)
    deps = [dep for stage in STAGES for dep in code_deps(stage)]
    assert len(deps) <= 82
    assert {Path(dep).parent.as_posix() for dep in deps} == {"stages", "src/petseg"}


def test_few_modules_are_loose_at_the_package_root():
    loose = {path.name for path in PACKAGE.glob("*.py")} - {"__init__.py", "__main__.py"}
    assert len(loose) <= 8, loose


def test_the_paths_in_the_code_are_those_in_dvc_yaml():
    paths = {field.name: str(field.default) for field in dataclasses.fields(PipelinePaths)}
    not_outs = {paths.pop(name) for name in ("archives", "previews", "tensorboard")}
    outs = [out for stage in DVC_STAGES.values() for out in outs_of(stage)]
    assert sorted(paths.values()) == sorted(outs)
    assert not not_outs & set(outs)
    data_deps = {
        dep for name in STAGES for dep in set(DVC_STAGES[name]["deps"]) - set(code_deps(name))
    }
    assert data_deps - {"${dataset.folder.path}"} <= set(outs)


def component_of(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def test_packages_import_only_from_those_below_them():
    level = {
        component: number
        for number, components in enumerate(COMPONENTS)
        for component in components
    }
    modules = [path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py"]
    assert {component_of(path) for path in modules} == set(level)
    for path in modules:
        for imported in imports_of(path) - {PACKAGE / "__init__.py"}:
            above, below = component_of(path), component_of(imported)
            assert above == below or level[below] < level[above], (
                f"{path.relative_to(SRC)} imports {imported.relative_to(SRC)}"
            )


def test_no_modules_import_each_other():
    graph = {path: imports_of(path) - {path} for path in PACKAGE.rglob("*/*.py")}
    for path in graph:
        graph[path] = {file for file in graph[path] if file.name != "__init__.py"}
    TopologicalSorter(graph).prepare()  # raises CycleError


@pytest.mark.parametrize("place", ["model", "training/losses.py", "metrics.py"])
def test_model_losses_and_metrics_are_pure_keras(place):
    path = PACKAGE / place
    for file in [path] if path.is_file() else path.rglob("*.py"):
        imported = re.findall(r"^\s*(?:import|from) (\w+)", file.read_text(), re.MULTILINE)
        assert "tensorflow" not in imported, file


def test_light_modules_import_neither_tensorflow_nor_dvc():
    code = (
        "import sys, petseg.config.params, petseg.rendering.charts, petseg.cli, petseg.photos.predictor, petseg.inspection.command\n"
        "print([m for m in sys.modules if m.split('.')[0] in ('tensorflow', 'keras', 'dvc')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={"PYTHONPATH": str(SRC)}
    )
    assert done.stdout.strip() == "[]", done.stderr


def test_petseg_data_never_imports_tensorflow():
    for file in reached_from(PACKAGE / "inspection" / "command.py"):
        imported = re.findall(r"^\s*(?:import|from) (\w+)", file.read_text(), re.MULTILINE)
        assert not {"tensorflow", "tensorflow_datasets", "keras"} & set(imported), file


def test_a_stage_runs_the_code_next_to_it_and_not_an_installed_package(tmp_path):
    """`dvc exp run --temp` and the queue run copies of the project."""
    for name in (
        "stages/_stage.py",
        *(f"src/petseg/{component}" for component in ("__init__.py", "core", "config")),
    ):
        for file in python_files(name):
            copy = tmp_path / file.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(file.read_bytes())
    code = "import _stage, petseg.config.params as params; print(params.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path / "stages", capture_output=True, text=True
    )
    assert done.stdout.strip() == str(tmp_path / "src/petseg/config/params.py"), done.stderr


def test_every_out_is_ignored_by_git_or_kept_by_it():
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    for stage in DVC_STAGES.values():
        for kind in ("outs", "metrics", "plots"):
            for entry in stage.get(kind, []):
                name, options = (entry, {}) if isinstance(entry, str) else next(iter(entry.items()))
                cached = options.get("cache", True)
                assert (f"/{name}" in ignored) == cached, name
                assert "persist" not in options
                assert cached or kind != "outs", "an uncached out: no run-cache for the stage"


def test_every_parameter_is_used_by_a_stage():
    used = {param.split(".")[0] for stage in DVC_STAGES.values() for param in stage["params"]}
    assert used == set(yaml.safe_load((ROOT / "params.yaml").read_text()))


def test_committed_results_match_the_committed_parameters():
    lock = yaml.safe_load((ROOT / "dvc.lock").read_text())["stages"]
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    for name, stage in lock.items():
        for key, value in stage["params"]["params.yaml"].items():
            current = functools.reduce(lambda section, part: section[part], key.split("."), params)
            assert current == value, f"{name}: run dvc repro and commit dvc.lock, metrics and plots"


def pins(file="requirements.txt"):
    lines = (ROOT / file).read_text().splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def is_for_this_machine(requirement):
    return requirement.marker is None or requirement.marker.evaluate()


def test_every_requirement_is_pinned_without_a_url():
    assert "://" not in (ROOT / "requirements.txt").read_text()
    assert all(re.fullmatch(r"==[\w.+]+", str(pin.specifier)) for pin in pins())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    texts = [text for name in ("train", "onnx", "beam", "demo", "dev") for text in extras[name]]
    pinned = {canonicalize_name(pin.name): pin for pin in filter(is_for_this_machine, pins())}
    for requirement in map(Requirement, [*project["dependencies"], *texts]):
        if is_for_this_machine(requirement):
            pin = pinned[canonicalize_name(requirement.name)]
            assert requirement.specifier.contains(next(iter(pin.specifier)).version), requirement
        assert ">=" in str(requirement.specifier), f"{requirement} has no lower bound"


def test_a_gpu_adds_only_cudas_libraries_to_the_pins():
    assert "://" not in (ROOT / "requirements-gpu.txt").read_text()
    both = [
        {(pin.name, str(pin.specifier)) for pin in pins(f)}
        for f in ("requirements.txt", "requirements-gpu.txt")
    ]
    added = both[1] - both[0]
    assert added
    assert all(re.match(r"nvidia-.*==", name + version) for name, version in added), added
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    texts = [*project["dependencies"], *project["optional-dependencies"]["train"]]
    needed = {canonicalize_name(Requirement(text).name) for text in texts}
    assert needed | {"setuptools"} <= {canonicalize_name(name) for name, _ in both[1]}


def test_installed_packages_match_the_pins():
    for pin in filter(is_for_this_machine, pins()):
        installed = importlib.metadata.version(pin.name)
        assert installed == next(iter(pin.specifier)).version, pin.name


def test_the_readmes_show_the_pipeline_graph():
    dvc = Path(sys.executable).with_name("dvc")
    graph = subprocess.run(
        [dvc, "dag", "--mermaid"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    expected = [line.strip() for line in graph.strip().splitlines()]
    for name in ("README.md", "README.es.md"):
        shown = re.search(r"```mermaid\n(.*?)```", (ROOT / name).read_text(), re.DOTALL)
        assert shown is not None
        assert [line.strip() for line in shown[1].strip().splitlines()] == expected


def commands_in(text):
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    lines = [line for language, block in blocks if not language for line in block.splitlines()]
    return [re.sub(r"#.*", "", line).rstrip() for line in lines]


def test_the_spanish_readme_has_the_same_commands_figures_and_links():
    english, spanish = ((ROOT / name).read_text() for name in ("README.md", "README.es.md"))
    first_part = english[: english.index("## Train on real pets")]
    assert commands_in(spanish) == commands_in(first_part)
    for pattern in (r"\b0\.\d{4}\b", r"\b\d+ min\b", r"\d+ px"):
        prose = re.sub(r"```.*?```|make repro. prints.*", "", first_part, flags=re.DOTALL)
        decimal_points = re.sub(r"(?<=\d),(?=\d)", ".", spanish)
        assert re.findall(pattern, decimal_points) == re.findall(pattern, prose), pattern
    links = [set(re.findall(r"\]\(([^)#]+)\)", text)) for text in (spanish, english)]
    assert links[0] - {"README.md"} <= links[1]


def test_every_file_that_a_document_links_to_exists():
    for document in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("data/*/*.md")]:
        for target in re.findall(r"\]\(([^)#]+)\)", document.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (document.parent / target).exists(), f"{document.name} links to {target}"
