"""The Colab notebook runs from top to bottom in a folder that stands for /content.

It installs its environment from the package index. Its kernel has another environment: only
ipykernel, or Colab's versions.
"""

import sys
from pathlib import Path

import pytest

from support.clones import hashes_of, make_clone
from support.environments import Environment, find_python
from support.notebook import read_notebook, run_notebook
from support.project import ROOT

# Seen on Colab in August 2026, with Python 3.13.
COLAB = ("tensorflow==2.20.0", "keras==3.13.2", "numpy==2.1.3", "protobuf==5.29.6")

DRIVE = """
import pathlib

def mount(path):
    pathlib.Path(path, "MyDrive").mkdir(parents=True, exist_ok=True)
"""

# The last cell: what the kernel has imported.
IMPORTED = 'print("imported:", {"petseg", "tensorflow", "keras", "dvc"} & set(sys.modules))'


@pytest.fixture
def repository(tmp_path):
    return make_clone(tmp_path / "repository")


def run_all(kernel, folder, repository, replacements=None, **environment):
    """Run the notebook as on a new machine, and return what it printed."""
    folder.mkdir()
    address = {'REPOSITORY = ""': f'REPOSITORY = "{repository.path}"'}
    notebook = read_notebook(address | (replacements or {}))
    notebook.cells[-1].source += f"\n{IMPORTED}"
    before = kernel.packages()
    printed = run_notebook(notebook, kernel, folder, **environment)
    assert {package.split("==")[0] for package in kernel.packages() ^ before} <= {"uv"}
    assert "imported: set()" in printed
    assert "Running stage 'report'" in printed
    assert "Predicted 1 of 1 photos" in printed
    assert "Traceback" not in printed
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    images = [output for output in outputs if "image/png" in output.get("data", {})]
    assert len(images) == 4  # the cat cut out, curves, examples, the drawn pet cut out
    assert any(
        "Test scores" in output.get("data", {}).get("text/markdown", "") for output in outputs
    )
    return printed


def test_a_kernel_that_has_only_ipykernel_can_run_it(tmp_path, repository):
    kernel = Environment(tmp_path / "kernel", Path(sys.executable), "ipykernel")
    run_all(kernel, tmp_path / "content", repository)
    clone = tmp_path / "content" / "petseg"
    changed = repository.run("git", "-C", str(clone), "status", "--porcelain")
    assert "results" not in changed
    assert "notebooks" not in changed
    pins = (ROOT / "requirements.txt").read_text()
    installed = repository.run(str(clone / ".venv/bin/python"), "-m", "pip", "freeze")
    assert {line for line in installed.splitlines() if "tensorflow==" in line} <= set(pins.split())
    assert "tensorflow==" in installed


def test_colabs_versions_do_not_matter_and_a_new_machine_resumes_from_drive(tmp_path, repository):
    python = find_python("3.13")
    kernel = Environment(tmp_path / "kernel", python or Path(sys.executable), "ipykernel", *COLAB)
    packages = kernel.python("-c", "import sysconfig; print(sysconfig.get_path('purelib'))")
    module = Path(packages, "google", "colab")
    module.mkdir(parents=True)
    (module / "__init__.py").touch()
    (module / "drive.py").write_text(DRIVE)
    colab = tmp_path / "env"  # Colab's PYTHONPATH is for its own Python
    colab.mkdir()
    (colab / "petseg.py").write_text("raise ImportError")
    (colab / "tensorflow.py").write_text("raise ImportError")
    drive = tmp_path / "drive"
    replacements = {"USE_DRIVE = False": "USE_DRIVE = True", "/content/drive": str(drive)}

    first, second = tmp_path / "first", tmp_path / "second"
    printed = run_all(kernel, first, repository, replacements, PYTHONPATH=str(colab))
    assert "Resuming" not in printed
    if python:
        assert "Python 3.13" in printed
    [checkpoints] = (path for path in (drive / "MyDrive/petseg/checkpoints").iterdir())
    (checkpoints / "finished").unlink()  # the machine was deleted before the last epoch
    max(checkpoints.glob("*.checkpoint")).unlink()

    printed = run_all(kernel, second, repository, replacements, PYTHONPATH=str(colab))
    assert "Resuming after epoch 1 of 2" in printed
    models = [hashes_of(folder / "petseg", ["models/unet"]) for folder in (first, second)]
    assert models[0] == models[1]
