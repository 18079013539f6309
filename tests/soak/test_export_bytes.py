"""Exported files from another process, with other hashes of Python's."""

import os
import subprocess
import sys

from petseg.exporting.exported import FILE_NAMES
from petseg.exporting.saved_model import convert_to_saved_model
from petseg.model.saved import load_model
from support.project import ROOT

_CODE = """
import sys
from dataclasses import replace
from pathlib import Path
from petseg.core.tf_import import import_tensorflow
import_tensorflow()
from petseg.config.params import ExportParams
from petseg.config.paths import PipelinePaths
from petseg.exporting.export import export
from support.encoders import small_encoder

out, shards, model = map(Path, sys.argv[1:])
params = ExportParams(formats=("litert_int8", "onnx", "saved_model"), calibration_images=8, test_images=6)
with small_encoder():
    export(params, replace(PipelinePaths.under(out), shards=shards, model=model))
"""


def test_another_process_writes_the_same_bytes(exported_run, small_encoder, tmp_path):
    path = os.pathsep.join([str(ROOT / "src"), str(ROOT / "tests")])
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            _CODE,
            str(tmp_path),
            str(exported_run.shards),
            str(exported_run.model),
        ],
        env=os.environ | {"PYTHONHASHSEED": "4711", "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "INFO" not in done.stderr
    assert "Measured on 6 test images" in done.stdout
    for name in ("litert_int8", "onnx"):
        file_name = FILE_NAMES[name]
        expected = (exported_run.exported / file_name).read_bytes()
        assert (tmp_path / "models" / "exported" / file_name).read_bytes() == expected, name
    for name, content in convert_to_saved_model(load_model(exported_run.model)).items():
        path = tmp_path / "models" / "exported" / "saved_model" / name
        assert path.read_bytes() == content, name
