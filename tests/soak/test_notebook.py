"""The notebook for Colab, run from top to bottom, and as it is committed."""

import os
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

from support.clones import make_clone
from support.project import ROOT

NOTEBOOK = Path("notebooks") / "petseg_colab.ipynb"


def cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_the_notebook_runs_from_top_to_bottom_in_a_fresh_clone(tmp_path, monkeypatch):
    clone = make_clone(tmp_path / "petseg")
    notebook = nbformat.read(clone.path / NOTEBOOK, as_version=4)
    monkeypatch.setenv("JUPYTER_PREFER_ENV_PATH", "1")
    monkeypatch.setenv("PYTHONPATH", str(clone.path / "src"))
    NotebookClient(
        notebook, timeout=540, resources={"metadata": {"path": str(clone.path / NOTEBOOK.parent)}}
    ).execute()
    printed = "".join(output.get("text", "") for cell in cells(notebook) for output in cell.outputs)
    assert "Running stage 'report'" in printed
    assert "metrics/test.json" in printed
    assert "1 of 1 photos predicted" in printed
    pictures = [
        output
        for cell in cells(notebook)
        for output in cell.outputs
        if "image/png" in output.get("data", {})
    ]
    assert len(pictures) >= 3  # curves, examples, the cut-out
    assert "Traceback" not in printed
    changed = clone.run("git", "status", "--porcelain")
    assert "results" not in changed
    assert "notebooks" not in changed


def test_the_committed_notebook_keeps_its_outputs_and_no_trace_of_a_machine():
    notebook = nbformat.read(ROOT / NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    ran = [cell for cell in cells(notebook) if cell.outputs]
    assert len(ran) >= 7
    assert all(output.output_type != "error" for cell in ran for output in cell.outputs)
    text = (ROOT / NOTEBOOK).read_text(encoding="utf-8")
    for trace in (str(Path.home()), os.sep + "tmp" + os.sep, str(ROOT), sys.prefix):
        assert trace not in text, trace
