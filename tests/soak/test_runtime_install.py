"""`pip install` of the wheel, without extras: small, and enough to predict with exported models."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from support.clones import make_clone
from support.environments import Environment, find_python
from support.project import ROOT

MAX_BYTES = 150_000_000
PHOTO = ROOT / "docs" / "images" / "cat.png"
LOAD = (
    "import sys, petseg\n"
    "petseg.load(sys.argv[1]).predict(sys.argv[2])\n"
    "print(*sorted({name.split('.')[0] for name in sys.modules}))"
)
MESSAGES = {  # tests/unit/test_extras.py has more
    ("predict", str(PHOTO), "--out", "out", "--model", "unet"): "unet (a Keras model) needs tensorflow, which isn't installed; run pip install 'petseg[train]', or choose an exported model, such as models/exported or pets.",
    ("compare", "unet", "other"): "petseg compare needs tensorflow, which isn't installed; run pip install 'petseg[train]'.",
    ("sweep", "-S", "seed=1,2"): "petseg sweep needs pandas, which isn't installed; run pip install 'petseg[train]'.",
    ("review",): "petseg review needs tensorflow, which isn't installed; run pip install 'petseg[train]'.",
    ("demo",): "petseg demo needs gradio, which isn't installed; run pip install 'petseg[demo]'.",
}  # fmt: skip


@pytest.fixture(autouse=True)
def only_what_is_installed(monkeypatch):
    monkeypatch.delenv("PYTHONPATH", raising=False)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    clone = make_clone(folder / "clone")
    clone.run("python", "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(folder), ".")
    [file] = folder.glob("*.whl")
    return file


def size_of(environment):
    """Bytes of all installed packages, with their compiled modules, without pip and setuptools."""
    packages = Path(
        environment.python("-c", "import sysconfig; print(sysconfig.get_path('purelib'))")
    )
    own = ("pip", "setuptools", "pkg_resources", "_distutils")  # of the new environment
    parts = [part for part in packages.iterdir() if not part.name.startswith(own)]
    files = [file for part in parts for file in (part, *part.rglob("*"))]
    return sum(file.stat().st_size for file in files if file.is_file())


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_the_runtime_is_small_and_predicts(wheel, exported_run, tmp_path, version):
    python = find_python(version)
    if python is None:
        pytest.skip(f"no Python {version} here")
    environment = Environment(tmp_path / "venv", python, str(wheel))
    names = {package.split("==")[0].split(" @")[0].lower() for package in environment.packages()}
    assert "petseg" in names
    assert not names & {"tensorflow", "keras", "dvc", "apache-beam", "pandas", "onnxruntime"}
    size = size_of(environment)
    print(f"Python {version}: {size / 1e6:.1f} MB: {' '.join(sorted(names))}")
    assert size < MAX_BYTES

    model, out = str(exported_run.exported), tmp_path / "out"
    assert "ai_edge_litert" in environment.python("-c", LOAD, model, str(PHOTO)).split()
    words = ("predict", str(PHOTO), "--out", str(out), "--model", model)
    assert environment.python("-m", "petseg", *words).startswith("Predicted 1 of 1 photos")
    with Image.open(PHOTO) as photo, Image.open(out / "cat_mask.png") as mask:
        assert mask.size == photo.size
        assert set(np.unique(np.asarray(mask))) <= {0, 1, 2}

    petseg = environment.path / "bin" / "petseg"
    words = (petseg, "predict", PHOTO, "--out", "own", "--json")
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stderr == "There is no models/unet; using petseg's own model, pets.\n"
    [row] = json.loads(done.stdout)["predicted"]
    assert row["shares"]["pet"] > 0.5

    (tmp_path / "unet").mkdir()
    (tmp_path / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    for arguments, message in MESSAGES.items():
        command = [petseg, *arguments]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert (done.returncode, done.stderr.strip()) == (1, message)
    assert "No broken requirements" in environment.python("-m", "pip", "check")


def test_an_extra_is_installed_by_its_name(wheel, exported_run, tmp_path):
    """The packages of an extra come from the index, and petseg is the one already there."""
    environment = Environment(tmp_path / "venv", Path(sys.executable), str(wheel))
    environment.python("-m", "pip", "install", "--quiet", "petseg[onnx]")
    loaded = environment.python("-c", LOAD, str(exported_run.exported / "unet.onnx"), str(PHOTO))
    assert "onnxruntime" in loaded.split()
