"""Trainings in several processes that communicate over loopback, in float64.

One process and several add the same numbers in a different order, and training doubles any
difference within a few steps. In float64 the differences stay in the last bits. Whatever computes
in float32 is turned off: augmentation except the flip, and TensorFlow's fused batch norm.
"""

import contextlib
import itertools
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from support.project import NO_AUGMENTATION, ROOT, TINY, with_values

FLIP_ONLY = {
    f"train.augment.{name}": value for name, value in NO_AUGMENTATION.items() if name != "flip"
}
_START = """
import sys
sys.path[:0] = sys.argv[1:3]
from support.workers import run_worker
run_worker(*sys.argv[3:])
"""


def tiny_settings(**settings: Any) -> dict[str, Any]:
    """Return raw parameters; dots in the settings' names are written as double underscores."""
    raw = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    own = {key.replace("__", "."): value for key, value in settings.items()}
    return with_values(raw, {**TINY, **FLIP_ONLY, **own})


def train_in_float64(params: Any, shards: Path, folder: Path, *, encoder: str) -> list[float]:
    """Train in this process and return all losses, validation included.

    `encoder` is "small" or "mobilenet_v2".
    """
    import keras
    import pytest

    from petseg.config.paths import PipelinePaths
    from petseg.training import batch_norms, loop, train
    from support.encoders import small_encoder

    def set_precision(dtype: str) -> None:
        keras.config.set_floatx(dtype)
        keras.config.set_dtype_policy(dtype)

    losses, original = [], loop.require_finite

    def record(loss: Any, position: str, remedy: str) -> float:
        losses.append(original(loss, position, remedy))
        return losses[-1]

    with (
        pytest.MonkeyPatch.context() as patch,
        small_encoder() if encoder == "small" else contextlib.nullcontext(),
    ):
        patch.setenv("DVC_ROOT", str(folder))
        patch.setattr(batch_norms, "fused_batch_norm", None)
        patch.setattr(loop, "require_finite", record)
        set_precision("float64")
        try:
            train.train(params, replace(PipelinePaths.under(folder), shards=shards))
        finally:
            set_precision("float32")
    return losses


def run_worker(shards: str, encoder: str, timeout: str = "", stuck: str = "") -> None:
    """Train as one of several workers in the current folder, and print the losses.

    `timeout`, in seconds, replaces that of the collectives. If `stuck` is not empty, the worker
    sleeps forever after its second step, while its connections stay open.
    """
    from petseg.core.tf_import import import_tensorflow

    import_tensorflow()
    from petseg.config.params import load_params
    from petseg.core.errors import PetsegError
    from petseg.training import devices, loop

    if timeout:
        devices._COLLECTIVE_TIMEOUT = float(timeout)
    if stuck:
        original, steps = loop.require_finite, itertools.count(1)

        def require_finite(loss: Any, position: str, remedy: str) -> float:
            if next(steps) == 2:
                time.sleep(10**6)
            return original(loss, position, remedy)

        loop.require_finite = require_finite
    try:
        losses = train_in_float64(load_params(), Path(shards), Path.cwd(), encoder=encoder)
    except PetsegError as error:
        sys.exit(str(error))
    print("LOSSES", json.dumps(losses), flush=True)


def start_workers(
    folder: Path,
    shards: Path,
    count: int,
    *,
    encoder: str = "small",
    timeout: str = "",
    stuck: Sequence[int] = (),
    **settings: Any,
) -> list[subprocess.Popen[str]]:
    """Start `count` processes that train together, each in its own folder.

    A list in the settings has one value per process. `stuck` lists the ranks that get stuck.
    """
    addresses = [f"127.0.0.1:{port}" for port in free_ports(count)]
    processes = []
    for rank in range(count):
        home = folder / f"worker{rank}"
        home.mkdir(parents=True, exist_ok=True)
        own = {
            key: value[rank] if isinstance(value, list) else value
            for key, value in settings.items()
        }
        (home / "params.yaml").write_text(yaml.safe_dump(tiny_settings(**own)), encoding="utf-8")
        config = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": rank}}
        paths = [str(ROOT / "src"), str(ROOT / "tests")]
        process = subprocess.Popen(
            [
                *(sys.executable, "-c", _START, *paths, str(shards), encoder, timeout),
                "stuck" if rank in stuck else "",
            ],
            cwd=home,
            env={**os.environ, "TF_CONFIG": json.dumps(config)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
    return processes


def losses_of(processes: Sequence[subprocess.Popen[str]]) -> list[list[float]]:
    """Wait for the processes and return the losses that each computed, validation included."""
    outputs = [process.communicate(timeout=1200) for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes), outputs
    return [json.loads(stdout.split("LOSSES", 1)[1]) for stdout, _ in outputs]


def lose_worker(rank: int, folder: Path, shards: Path, **settings: Any) -> str:
    """Start two workers, kill one after the next checkpoint, and return the other one's error."""
    backup = folder / "worker0" / ".backup"
    before = set(backup.glob("*/*.checkpoint"))
    processes = start_workers(folder, shards, 2, **settings)
    survivor = processes[1 - rank]
    deadline = time.monotonic() + 1200
    while not set(backup.glob("*/*.checkpoint")) - before:
        assert time.monotonic() < deadline
        assert survivor.poll() is None, survivor.communicate()
        time.sleep(0.02)
    processes[rank].kill()
    processes[rank].communicate()
    _, stderr = survivor.communicate(timeout=1200)
    assert survivor.returncode == 1, stderr
    return stderr


def make_shards(folder: Path, count: int) -> Path:
    """Prepare the shards of a few drawn pets."""
    from petseg.config.params import parse_params
    from petseg.datasets.prepare import prepare_dataset
    from petseg.preprocessing.preprocess import preprocess

    params = parse_params(tiny_settings(preprocess__shards=count))
    prepare_dataset(params.dataset, folder / "raw", folder / "archives")
    preprocess(params.preprocess, params.seed, folder / "raw", folder / "tfrecords")
    return folder / "tfrecords"


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for sock in sockets:
            sock.bind(("127.0.0.1", 0))
        return [sock.getsockname()[1] for sock in sockets]
