"""Trainings in several processes that talk over loopback, in float64."""

import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from support.project import ROOT, TINY, with_values

_NOTHING_IN_FLOAT32: dict[str, Any] = {
    "train.augment.crop_scale": [1.0, 1.0],
    **dict.fromkeys(
        [f"train.augment.{name}" for name in ("rotation", "brightness", "contrast", "saturation")],
        0.0,
    ),
}

_SCRIPT = """
import json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from petseg.core.tf_import import import_tensorflow
import_tensorflow()
import keras
from petseg.core.errors import PetsegError
from petseg.config.params import load_params
from petseg.config.paths import PipelinePaths
from dataclasses import replace
from petseg.training import batch_norms, loop, train
keras.config.set_floatx("float64")
batch_norms.fused_batch_norm = None
losses, original = [], loop.require_finite
def record(loss, position):
    losses.append(original(loss, position))
    return losses[-1]
loop.require_finite = record
try:
    train.train(load_params("params.yaml"), replace(PipelinePaths(), shards=Path(sys.argv[2])))
except PetsegError as error:
    sys.exit(str(error))
print("LOSSES", json.dumps(losses), flush=True)
"""


def start_workers(
    folder: Path, records: Path, count: int, **settings: Any
) -> list[subprocess.Popen[str]]:
    """Start `count` processes that train together, each in its own folder.

    A list in the settings has one value per process.
    """
    raw = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    addresses = [f"127.0.0.1:{port}" for port in _free_ports(count)]
    processes = []
    for number in range(count):
        home = folder / f"worker{number}"
        home.mkdir(parents=True, exist_ok=True)
        own = {
            key.replace("__", "."): value[number] if isinstance(value, list) else value
            for key, value in settings.items()
        }
        params = with_values(raw, {**TINY, **_NOTHING_IN_FLOAT32, **own})
        (home / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
        task = {"type": "worker", "index": number}
        environment = {
            **os.environ,
            "DVC_ROOT": str(home),
            "TF_CONFIG": json.dumps({"cluster": {"worker": addresses}, "task": task}),
        }
        argv = [sys.executable, "-c", _SCRIPT, str(ROOT / "src"), str(records)]
        processes.append(
            subprocess.Popen(
                argv,
                cwd=home,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    return processes


def losses_of(processes: Sequence[subprocess.Popen[str]]) -> list[list[float]]:
    """Wait for the processes and return the losses that each computed, validation included."""
    ended = [process.communicate(timeout=600) for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes), ended
    return [json.loads(out.split("LOSSES", 1)[1]) for out, _ in ended]


def make_records(folder: Path, shards: int) -> Path:
    """Prepare the shards of a few drawn pets."""
    from petseg.config.params import parse_params
    from petseg.datasets.prepare import prepare_dataset
    from petseg.preprocessing.preprocess import preprocess

    raw = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    params = parse_params(with_values(raw, {**TINY, "preprocess.shards": shards}))
    prepare_dataset(params.dataset, folder / "raw", folder / "archives")
    preprocess(params.preprocess, params.seed, folder / "raw", folder / "tfrecords")
    return folder / "tfrecords"


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
