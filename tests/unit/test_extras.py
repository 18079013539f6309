"""What the commands say where only `pip install petseg` has run, without its extras."""

import json
import shutil
import subprocess
import sys
import tomllib

from packaging.requirements import Requirement

from support.project import ROOT
from support.robustness import matches

SECTION = "The command line"
CASES = {
    "without the extra train: predict with a Keras model": "unet (a Keras model) needs tensorflow, which isn't installed; run pip install 'petseg[train]', or choose an exported model, such as models/exported or pets.",
    "without the extra train: predict with a missing model": "nowhere is neither an exported file nor a folder; choose an exported model, such as models/exported or pets.",
    "without the extra train: info about a Keras model": "unet (a Keras model) needs tensorflow, which isn't installed; run pip install 'petseg[train]', or choose an exported model, such as models/exported or pets.",
    "without the extra train: compare": "petseg compare needs tensorflow, which isn't installed; run pip install 'petseg[train]'.",
    "without the extra train: review": "petseg review needs tensorflow, which isn't installed; run pip install 'petseg[train]'.",
    "without the extra train: sweep": "petseg sweep needs pandas, which isn't installed; run pip install 'petseg[train]'.",
    "without the extra s3: data at a URL": "s3://pets/photos needs another package (…); run pip install 'petseg[s3]' or 'petseg[gs]'.",
    "without the extra onnx: predict with an ONNX file": "An ONNX file needs onnxruntime, which isn't installed; run pip install 'petseg[onnx]'.",
    "without the extra demo: demo": "petseg demo needs gradio, which isn't installed; run pip install 'petseg[demo]'.",
}  # fmt: skip
COMMANDS = {
    "without the extra train: predict with a Keras model": ["predict", "a.png", "--out", "out", "--model", "unet"],
    "without the extra train: predict with a missing model": ["predict", "a.png", "--out", "out", "--model", "nowhere"],
    "without the extra train: info about a Keras model": ["info", "--model", "unet"],
    "without the extra train: compare": ["compare", "unet", "other"],
    "without the extra train: review": ["review"],
    "without the extra train: sweep": ["sweep", "-S", "seed=1,2"],
    "without the extra s3: data at a URL": ["data", "s3://pets/photos"],
    "without the extra onnx: predict with an ONNX file": ["predict", "a.png", "--out", "out", "--model", "exported/unet.onnx"],
    "without the extra demo: demo": ["demo"],
}  # fmt: skip
WITHOUT_EXTRAS = """
import json, sys
hidden, commands = json.loads(sys.argv[1])
sys.modules.update(dict.fromkeys(hidden))  # importing one raises ModuleNotFoundError
from click.testing import CliRunner
from petseg.cli import main
results = {case: CliRunner().invoke(main, words) for case, words in commands.items()}
print(json.dumps({case: (done.exit_code, done.output) for case, done in results.items()}))
"""
MODULES = {"pyyaml": "yaml"}  # that aren't called like their package


def test_each_command_names_the_extra_that_it_needs(exported_run, tmp_path):
    """In one process for all commands, whose imports depend on no other test."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    names = [Requirement(text).name for name in ("train", "demo", "beam") for text in extras[name]]
    hidden = sorted({MODULES.get(name, name.replace("-", "_")) for name in names} - {"protobuf"})
    shutil.copytree(exported_run.exported, tmp_path / "exported")
    (tmp_path / "unet").mkdir()
    shutil.copy(ROOT / "docs" / "images" / "cat.png", tmp_path / "a.png")
    shutil.copy(ROOT / "params.yaml", tmp_path)
    commands = COMMANDS | {
        "exported": ["info", "--model", "exported"],
        "help": ["--help"],
        "predict": ["predict", "a.png", "--out", "out", "--model", "exported"],
        "pets": ["predict", "a.png", "--out", "own"],
    }
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_EXTRAS, json.dumps([hidden, commands])],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    for case, expected in CASES.items():
        code, output = results[case]
        assert code == 1
        assert matches(expected, output.strip(), tmp_path), output
    assert [results[name][0] for name in ("exported", "help", "predict", "pets")] == [0] * 4, (
        results
    )
    assert "using petseg's own model, pets" in results["pets"][1]
    assert "unet_float32.tflite" in results["exported"][1]
    assert (tmp_path / "out" / "a_mask.png").is_file()


def test_a_stage_names_the_extra(tmp_path):
    code = (
        "import sys, runpy\n"
        "sys.modules.update(dict.fromkeys(['filelock', 'tensorflow']))\n"
        "runpy.run_path(sys.argv[1], run_name='__main__')"
    )
    shutil.copy(ROOT / "params.yaml", tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", code, ROOT / "stages" / "train.py"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT / "stages")},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (
        1,
        "dvc repro needs filelock, which isn't installed; run pip install 'petseg[train]'.\n",
    )


def test_python_m_petseg_is_the_command():
    done = subprocess.run(
        [sys.executable, "-m", "petseg", "--help"],
        env={"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
    )
    assert done.stdout.startswith("Usage: petseg [OPTIONS] COMMAND"), done.stderr
