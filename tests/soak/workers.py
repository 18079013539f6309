"""Trains with one, two and four processes that talk over loopback, and compares losses and metrics over fifty steps.

    python tests/soak/workers.py

One process and several do the same arithmetic in another order, and a network in training doubles any difference
within a few steps. So that no more than the last bits differ at first, the check computes in float64, and leaves out
what computes in float32 (augmentation but for the mirror, TensorFlow's fused batch norm). Takes some five minutes on
two cores.
"""

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
import yaml
from numpy.typing import NDArray

from support.clones import ROOT, TINY, with_values

sys.path.insert(0, str(ROOT / "src"))

_COUNTS = (2, 4)
_STEPS = 50
_BOUND = 1e-5
_NOTHING_IN_FLOAT32 = {
    "train.augment.min_crop": 1.0,
    "train.augment.max_crop": 1.0,
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
from petseg.training import batch_norms, loop, train
keras.config.set_floatx("float64")
batch_norms.fused_batch_norm = None
losses, original = [], loop._finite
def noting(loss, where):
    losses.append(original(loss, where))
    return losses[-1]
loop._finite = noting
outs = [Path(name) for name in ("unet", "metrics.json", "history.csv", "previews")]
try:
    train.train(load_params("params.yaml"), Path(sys.argv[2]), *outs)
except PetsegError as error:
    sys.exit(str(error))
print("LOSSES", json.dumps(losses), flush=True)
"""


def start_workers(
    folder: Path, records: Path, count: int, **settings: Any
) -> list[subprocess.Popen[str]]:
    """So many processes that train together, each in a folder of its own.

    A list in the settings has a value for each.
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
    """What each one saw, step by step, the validations' included, once all have ended well."""
    ended = [process.communicate(timeout=600) for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes), ended
    return [json.loads(out.split("LOSSES", 1)[1]) for out, _ in ended]


def history_of(folder: Path) -> NDArray[np.float64]:
    """What the chief wrote of each epoch, losses and metrics of training and validation, in six digits."""
    return np.loadtxt(folder / "worker0" / "history.csv", delimiter=",", skiprows=1)


def make_records(folder: Path, shards: int) -> Path:
    """The shards of a few drawn pets."""
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


@click.command(help=__doc__)
def main() -> None:
    """See the module."""
    missed = False
    with tempfile.TemporaryDirectory(prefix="petseg-workers-") as temporary:
        folder = Path(temporary)
        records = make_records(folder, max(_COUNTS))
        settings = {
            "train__epochs": 17,
            "train__learning_rate": 1e-4,
            "train__encoder_learning_rate": 1e-4,
        }
        [alone] = losses_of(start_workers(folder / "1", records, 1, **settings))
        epochs = history_of(folder / "1")
        for count in _COUNTS:
            all_of_them = losses_of(start_workers(folder / str(count), records, count, **settings))
            together = all_of_them[0]
            difference = float(np.abs(np.subtract(together, alone)).max())
            metrics = float(np.abs(history_of(folder / str(count)) - epochs).max())
            missed |= max(difference, metrics) > _BOUND or any(
                losses != together for losses in all_of_them
            )
            print(
                f"{count} processes: {len(alone)} losses at most {difference:.1e} off one process's, "
                f"the metrics of {len(epochs)} epochs at most {metrics:.1e}",
                flush=True,
            )
    sys.exit(missed)


if __name__ == "__main__":
    main()
