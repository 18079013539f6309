"""The Colab notebook as it is committed, and its cells; tests/soak/test_notebook.py runs it."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest

from support.notebook import NOTEBOOK, read_notebook
from support.project import ROOT

CELLS = {cell.id: cell.source for cell in read_notebook().cells if cell.cell_type == "code"}


def run_cells(*ids, **names):
    """Run cells as a kernel would, and return the names that they define."""
    for cell in ids:
        exec(CELLS[cell].replace("/content/drive", str(names.get("drive"))), names)
    return names


def test_the_committed_notebook_has_outputs_and_no_errors():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.get("outputs")]
    assert len(cells) >= 6
    assert all(output.output_type != "error" for cell in cells for output in cell.outputs)


def test_the_committed_notebook_contains_no_local_paths():
    text = NOTEBOOK.read_text(encoding="utf-8")
    for path in (str(Path.home()), os.sep + "tmp" + os.sep, str(ROOT), sys.prefix, "file://"):
        assert path not in text, path


def test_the_kernel_imports_nothing_that_the_pipeline_installs():
    trees = [ast.walk(ast.parse(source)) for source in CELLS.values()]
    nodes = [node for tree in trees for node in tree]
    imported = {
        alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names
    }
    imported |= {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)}
    others = {name.split(".")[0] for name in imported} - sys.stdlib_module_names
    assert others == {"IPython", "google"}


def test_the_settings_offer_every_recipe_and_change_nothing_by_default():
    names = run_cells("settings")
    assert (names["REPOSITORY"], names["USE_DRIVE"], names["SETTINGS"]) == ("", False, "")
    assert (names["FOLDER"], names["PHOTO"]) == ("", "")
    [line] = [line for line in CELLS["settings"].splitlines() if line.startswith("RECIPE")]
    offered = json.loads(line.split("@param")[1])
    recipes = {path.stem for path in (ROOT / "recipes").glob("*.txt")} - {
        "long",
        "pets128",
        "pets192",
    }
    assert {word for option in offered for word in option.split()} == recipes | {
        "auto",
        "synthetic",
    }


@pytest.mark.parametrize(
    ("settings", "commands"),
    [
        ({}, ["dvc repro"]),
        ({"SETTINGS": "seed=1"}, ["dvc exp run --set-param=seed=1"]),
        ({"HAS_GPU": True}, ["make pets RECIPE=default SET="]),
        ({"RECIPE": "fast", "SETTINGS": "seed=1"}, ["make pets RECIPE=fast SET=seed=1"]),
        (
            {"FOLDER": "/mine"},
            ["petseg data /mine --write", "make photos RECIPE=default SET="],
        ),
        (
            {"FOLDER": "/mine", "RECIPE": "small", "SETTINGS": "seed=1"},
            ["petseg data /mine --write", "make photos RECIPE=small SET=seed=1"],
        ),
    ],
)
def test_the_settings_choose_what_is_trained_on_what(settings, commands):
    ran = []
    names = run_cells("settings") | {"HAS_GPU": False} | settings
    run_cells("run", **names, run=lambda *words: ran.append(" ".join(words)))
    assert ran == commands


def test_the_address_is_asked_for_once(tmp_path, monkeypatch):
    repository = tmp_path / "repository"
    repository.mkdir()
    (repository / "dvc.yaml").touch()
    for command in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "--message", "start"]):
        author = ["-c", "user.name=Test", "-c", "user.email=test@example.org"]
        subprocess.run(["git", *author, *command], cwd=repository, check=True)
    (tmp_path / "content").mkdir()
    monkeypatch.chdir(tmp_path / "content")
    asked = []

    def answer(question):
        asked.append(question)
        return str(repository)

    for folder in ("content", "content", "content/petseg"):  # also after a restart of the kernel
        os.chdir(tmp_path / folder)
        names = run_cells("settings", "code", input=answer)
        assert Path.cwd() == tmp_path / "content" / "petseg"
        assert names["ENVIRONMENT"]["PATH"].startswith(f"{Path.cwd()}/.venv/bin:")
    assert asked == ["Enter the URL of the petseg repository to clone: "]


def test_a_clone_is_found_from_its_notebooks_folder(tmp_path, monkeypatch):
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "dvc.yaml").touch()
    monkeypatch.chdir(tmp_path / "notebooks")
    monkeypatch.setenv("PYTHONPATH", "/env/python")
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    names = run_cells("settings", "code")
    assert Path.cwd() == tmp_path
    assert not {"PYTHONPATH", "MPLBACKEND"} & set(names["ENVIRONMENT"])


def test_checkpoints_move_to_drive_once_and_only_on_request(tmp_path, monkeypatch):
    mounted = []
    drive = SimpleNamespace(mount=mounted.append)
    monkeypatch.setitem(sys.modules, "google.colab", SimpleNamespace(drive=drive))
    monkeypatch.chdir(tmp_path)
    checkpoints = tmp_path / "drive/MyDrive/petseg/checkpoints"
    (tmp_path / ".backup").mkdir()
    (tmp_path / ".backup" / "early").write_text("a run without Drive")
    names = {"drive": tmp_path / "drive", "Path": Path, "shutil": __import__("shutil")}
    run_cells("drive", USE_DRIVE=False, **names)
    assert (mounted, checkpoints.exists()) == ([], False)
    for _ in range(2):
        run_cells("drive", USE_DRIVE=True, **names)
        assert (tmp_path / ".backup").resolve() == checkpoints
        assert (checkpoints / "early").read_text() == "a run without Drive"
    assert mounted == [str(tmp_path / "drive")] * 2


@pytest.mark.parametrize(
    ("devices", "has_driver", "expected"),
    [
        ("[PhysicalDevice(name='/physical_device:GPU:0')]", True, "TensorFlow sees"),
        ("[]", True, "There is an NVIDIA driver, but TensorFlow sees no GPU"),
        ("[]", False, "No GPU was found"),
    ],
)
def test_tensorflow_says_whether_there_is_a_gpu(tmp_path, capfd, devices, has_driver, expected):
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\necho "{devices}"\necho "cuInit: UNKNOWN ERROR" >&2\n')
    python.chmod(0o755)
    names = run_cells(
        "gpu",
        subprocess=subprocess,
        run=lambda *command: print(*command),
        ENVIRONMENT={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        HAS_DRIVER=has_driver,
    )
    printed = capfd.readouterr().out
    assert printed.startswith(expected) or expected in printed
    assert names["HAS_GPU"] == ("Physical" in devices)
    assert ("cuInit" in printed) == (has_driver and not names["HAS_GPU"])
