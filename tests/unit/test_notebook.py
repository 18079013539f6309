"""The Colab notebook as it is committed; tests/soak/test_notebook.py runs it."""

import os
import sys
from pathlib import Path

import nbformat

from support.project import ROOT

NOTEBOOK = ROOT / "notebooks" / "petseg_colab.ipynb"


def test_the_committed_notebook_has_outputs_and_no_errors():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.get("outputs")]
    assert len(cells) >= 7
    assert all(output.output_type != "error" for cell in cells for output in cell.outputs)


def test_the_committed_notebook_contains_no_local_paths():
    text = NOTEBOOK.read_text(encoding="utf-8")
    for path in (str(Path.home()), os.sep + "tmp" + os.sep, str(ROOT), sys.prefix):
        assert path not in text, path
