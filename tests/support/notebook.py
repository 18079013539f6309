"""The notebook, and running it in another environment's kernel.

    PYTHONPATH=tests python -m support.notebook

runs the last commit's notebook in a new folder, with a real installation and the default results'
training, and stores its outputs in notebooks/.
"""

import json
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import nbformat
from nbclient import NotebookClient

from support.environments import Environment
from support.project import ROOT

NOTEBOOK = ROOT / "notebooks" / "petseg_colab.ipynb"


def read_notebook(replacements: dict[str, str] | None = None) -> Any:
    """Return the notebook without outputs, with texts in its cells replaced."""
    notebook: Any = nbformat.read(NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    for old, new in (replacements or {}).items():
        assert any(old in cell.source for cell in notebook.cells), old
        for cell in notebook.cells:
            cell.source = cell.source.replace(old, new)
    return notebook


def run_notebook(notebook: Any, kernel: Environment, folder: Path, **environment: str) -> str:
    """Run a notebook in a folder with an environment's ipykernel; return all that it printed.

    The kernel gets no Python path, no virtual environment, and a PATH with only its Python and the
    system's commands.
    """
    jupyter = kernel.path / "share" / "jupyter"
    python = kernel.path / "bin" / "python"
    argv = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = jupyter / "kernels" / "petseg-test" / "kernel.json"
    spec.parent.mkdir(parents=True, exist_ok=True)
    spec.write_text(json.dumps({"argv": argv, "display_name": "test", "language": "python"}))
    os.environ["JUPYTER_PATH"] = str(jupyter)
    dropped = ("PYTHONPATH", "VIRTUAL_ENV", "DVC_ROOT")
    env = {name: value for name, value in os.environ.items() if name not in dropped}
    commands = [str(python.resolve().parent), "/usr/local/bin", "/usr/bin", "/bin"]
    env |= {"PATH": os.pathsep.join(commands), **environment}
    resources = {"metadata": {"path": str(folder)}}
    client = NotebookClient(notebook, timeout=3600, kernel_name="petseg-test", resources=resources)
    client.execute(env=env)
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return "".join(output.get("text", "") for output in outputs)


def store_outputs(folder: Path) -> None:
    """Run the notebook in an empty folder and write it to notebooks/ with its outputs."""
    # With uv, as on Colab; otherwise pip may print where it looked for it.
    kernel = Environment(folder / "kernel", Path(sys.executable), "ipykernel", "uv")
    content = folder / "content"
    content.mkdir()
    notebook = read_notebook({'REPOSITORY = ""': f'REPOSITORY = "{ROOT}"'})
    run_notebook(notebook, kernel, content)
    for cell, committed in zip(notebook.cells, read_notebook().cells, strict=True):
        cell.source, cell.metadata = committed.source, committed.metadata
    notebook.metadata.kernelspec = read_notebook().metadata.kernelspec
    nbformat.write(notebook, NOTEBOOK)  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    with TemporaryDirectory() as temporary:
        store_outputs(Path(temporary))
