"""The Colab notebook runs from top to bottom in a fresh clone."""

import nbformat
from nbclient import NotebookClient

from support.clones import make_clone


def test_the_notebook_runs_from_top_to_bottom(tmp_path, monkeypatch):
    clone = make_clone(tmp_path / "petseg")
    path = clone.path / "notebooks" / "petseg_colab.ipynb"
    notebook = nbformat.read(path, as_version=4)
    monkeypatch.setenv("JUPYTER_PREFER_ENV_PATH", "1")
    monkeypatch.setenv("PYTHONPATH", str(clone.path / "src"))
    resources = {"metadata": {"path": str(path.parent)}}
    NotebookClient(notebook, timeout=540, resources=resources).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    printed = "".join(output.get("text", "") for output in outputs)
    assert "Running stage 'report'" in printed
    assert "metrics/test.json" in printed
    assert "Predicted 1 of 1 photos" in printed
    images = [output for output in outputs if "image/png" in output.get("data", {})]
    assert len(images) >= 3  # curves, examples, the cutout
    assert "Traceback" not in printed
    changed = clone.run("git", "status", "--porcelain")
    assert "results" not in changed
    assert "notebooks" not in changed
