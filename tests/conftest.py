"""What several tests share: tiny parameters, a prepared tiny data set, and a temporary clone of the project."""

import copy
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

ROOT = Path(__file__).resolve().parent.parent

TINY = {
    "dataset.name": "synthetic_pets",
    "model.alpha": 0.35,
    "model.weights": "none",
    "train.frozen_encoder_epochs": 0,
    "train.encoder_batch_norm": "auto",
    "dataset.synthetic_pets.trainval": 40,
    "dataset.synthetic_pets.test": 8,
    "dataset.synthetic_pets.size": 48,
    "preprocess.image_size": 32,
    "preprocess.val_fraction": 0.2,
    "preprocess.shards": 2,
    "model.decoder_filters": [8, 8, 8, 8, 8],
    "train.epochs": 2,
    "train.batch_size": 8,
    "evaluate.batch_size": 8,
    "render.examples": 2,
    "render.extremes": 2,
}


def with_values(raw: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    """A copy of nested parameters with the values at dotted keys replaced."""
    changed = copy.deepcopy(raw)
    for key, value in values.items():
        *sections, last = key.split(".")
        section = changed
        for name in sections:
            section = section[name]
        section[last] = value
    return changed


@pytest.fixture(scope="session")
def default_params() -> dict[str, Any]:
    """params.yaml as it is, but on drawn pets and without weights, whatever experiment has been run last."""
    raw = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    return with_values(raw, {key: TINY[key] for key in list(TINY)[:5]})


@pytest.fixture(scope="session")
def tiny_params(default_params):
    from petseg.params import parse_params

    return parse_params(with_values(default_params, TINY))


@pytest.fixture(scope="session")
def tiny_raw(tiny_params, tmp_path_factory) -> Path:
    """A prepared data set of a few drawn pets."""
    from petseg.datasets.prepare import prepare_dataset

    raw = tmp_path_factory.mktemp("tiny") / "raw"
    prepare_dataset(tiny_params.dataset, raw, raw.parent / "archives")
    return raw


@pytest.fixture(scope="session")
def tiny_records(tiny_params, tiny_raw, tmp_path_factory) -> Path:
    """The shards of that data set."""
    from petseg.records.preprocess import preprocess

    records = tmp_path_factory.mktemp("tiny") / "tfrecords"
    preprocess(tiny_params.preprocess, tiny_params.seed, tiny_raw, records)
    return records


class Clone:
    """A temporary git clone of the project with tiny parameters, in which commands are run as a user would."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def run(self, *command: str, ok: bool = True, env: dict[str, str] | None = None) -> str:
        """Run a command and return what it printed; `ok` says whether it must succeed or fail."""
        bin_dir = str(Path(sys.executable).parent)
        environment = {k: v for k, v in os.environ.items() if k not in ("DVC_ROOT", "PYTHONPATH")}
        environment |= {"PATH": f"{bin_dir}{os.pathsep}{os.environ['PATH']}", **(env or {})}
        done = subprocess.run(
            command, cwd=self.path, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        assert (done.returncode == 0) == ok, f"{' '.join(command)} gave {done.returncode}:\n{done.stdout}"
        return done.stdout

    def set_params(self, **values: Any) -> None:
        """Change params.yaml by hand; dots are written as double underscores."""
        path = self.path / "params.yaml"
        raw = yaml.safe_load(path.read_text())
        path.write_text(yaml.safe_dump(with_values(raw, {k.replace("__", "."): v for k, v in values.items()})))

    def commit(self, message: str) -> None:
        self.run("git", "add", "--all")
        self.run("git", "commit", "--quiet", "--allow-empty", "--message", message)


def make_clone(path: Path) -> Clone:
    """The files that git would commit, in a repository of their own."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT, check=True, stdout=subprocess.PIPE,
    )  # fmt: skip
    for name in listed.stdout.decode().split("\0"):
        source = ROOT / name
        if name and source.is_file():
            target = path / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())
            target.chmod(source.stat().st_mode)
    clone = Clone(path)
    clone.run("git", "init", "--quiet", "--initial-branch", "main")
    for key, value in (("user.name", "Test"), ("user.email", "test@example.org")):
        clone.run("git", "config", key, value)
    (path / "dvc.lock").unlink(missing_ok=True)
    clone.set_params(**{key.replace(".", "__"): value for key, value in TINY.items()})
    clone.commit("start")
    return clone
