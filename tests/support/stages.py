"""Stages of the pipeline, run in this process as DVC would run their scripts."""

import contextlib
import runpy
import sys
from pathlib import Path

import pytest

from support.project import ROOT

STAGES = ("download", "preprocess", "train", "evaluate", "export", "render", "report")


def run_stage(stage: str, folder: Path) -> str | None:
    """Run a stage's script in a folder with a params.yaml. Return the message with which it exits.

    None means success. What else the script raises is raised here, too.
    """
    with pytest.MonkeyPatch.context() as patch, contextlib.chdir(folder):
        patch.delenv("DVC_ROOT", raising=False)
        patch.syspath_prepend(str(ROOT / "stages"))
        try:
            runpy.run_path(str(ROOT / "stages" / f"{stage}.py"), run_name="__main__")
        except SystemExit as end:
            return str(end.code)
        finally:
            sys.modules.pop("_stage", None)
    return None
