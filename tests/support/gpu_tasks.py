"""What child processes of tests/soak/gpu.py do. They print RESULT and JSON for what they find."""

import hashlib
import json
import math
import os
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args
from unittest import mock

from petseg.config.params import Params, load_params, parse_params
from petseg.config.types import Precision
from petseg.core.tf_import import import_tensorflow
from support.project import ROOT, TINY, recipe_settings, with_values

EXIT_WHEN_CUT = 9

_MIN_STEPS = 60
_TIMED_STEPS = 40
_COMPILED: tuple[Precision, ...] = ("float32", "mixed_float16")  # with XLA, which takes its time
_DATA = {
    "dataset.name": "synthetic_pets",
    "dataset.synthetic_pets.trainval": 200,
    "dataset.synthetic_pets.test": 8,
    "preprocess.val_fraction": 0.2,
    "preprocess.shards": 2,
    "model.weights": "none",
    "train.frozen_encoder_epochs": 0,
    "train.checkpoint_every_steps": 5,
}
_ON_CPU = {key: TINY[key] for key in TINY if key.startswith(("preprocess", "model"))} | {
    "dataset.synthetic_pets.trainval": 40,
    "train.batch_size": 8,
    "train.checkpoint_every_steps": 1,
}


def configurations(on_cpu: bool) -> list[tuple[str, Precision, bool]]:
    """Return (recipe, precision, jit_compile) of all configurations; recipe "" is params.yaml."""
    recipes = [""] if on_cpu else ["", "fast", "default"]
    plain = [(recipe, precision, False) for precision in get_args(Precision) for recipe in recipes]
    return [*plain, *((recipes[-1], precision, True) for precision in _COMPILED)]


def make_params(recipe: str, on_cpu: bool, **settings: Any) -> Params:
    """Return the parameters of a recipe (or params.yaml) for drawn pets, without weights."""
    raw = load_params(ROOT / "params.yaml").model_dump(mode="json")
    values = recipe_settings(ROOT / "recipes" / f"{recipe}.txt") if recipe else {}
    values |= _DATA | (_ON_CPU if on_cpu else {})
    values |= {key.replace("__", "."): value for key, value in settings.items()}
    return parse_params(with_values(raw, values))


def prepare_task(folder: Path, on_cpu: bool) -> Iterator[dict[str, Any]]:
    from petseg.datasets.prepare import prepare_dataset
    from petseg.preprocessing.preprocess import preprocess
    from petseg.training.devices import find_gpus
    from petseg.training.environment import describe_environment

    params = make_params("", on_cpu)
    prepare_dataset(params.dataset, folder / "raw", folder / "archives")
    preprocess(params.preprocess, params.seed, folder / "raw", folder / "tfrecords")
    yield {"gpus": [str(gpu) for gpu in find_gpus()], "environment": describe_environment()}


def train_task(
    folder: Path, on_cpu: bool, name: str, factor: float = 1.0, cut: bool = False
) -> Iterator[dict[str, Any]]:
    """Train at least 60 steps. With `cut`, die after a checkpoint in the middle."""
    from petseg.config.paths import PipelinePaths
    from petseg.shards.manifest import read_manifest
    from petseg.training.checkpoint import load_checkpoint, pack, save_checkpoint
    from petseg.training.train import train

    params = make_params("", on_cpu)
    images = read_manifest(folder / "tfrecords").splits["train"].num_examples
    steps = images // params.train.batch_size
    epochs = 2 if on_cpu else math.ceil(_MIN_STEPS / steps)
    rate = params.train.learning_rate * factor
    params = make_params("", on_cpu, train__epochs=epochs, train__learning_rate=rate)
    home = folder / name
    home.mkdir(exist_ok=True)
    os.environ["DVC_ROOT"] = str(home)
    was_resumed = any(home.glob(".backup/*/*.checkpoint"))

    def save_and_die(checkpoint: Any, directory: Path) -> None:
        save_checkpoint(checkpoint, directory)
        epochs_done, steps_done = checkpoint.position
        if steps_done and epochs_done == epochs // 2:
            os._exit(EXIT_WHEN_CUT)

    save = save_and_die if cut else save_checkpoint
    with mock.patch("petseg.training.train_state.save_checkpoint", save):
        train(params, replace(PipelinePaths.under(home), shards=folder / "tfrecords"))
    (directory,) = {file.parent for file in home.glob(".backup/*/*.checkpoint")}
    checkpoint = load_checkpoint(directory)
    assert checkpoint is not None
    yield {
        "sha256": hashlib.sha256(pack(checkpoint)).hexdigest(),
        "steps": epochs * steps,
        "was_resumed": was_resumed,
    }


def speed_task(folder: Path, on_cpu: bool) -> Iterator[dict[str, Any]]:
    for recipe, precision, jit in configurations(on_cpu):
        changes = {"train__precision": precision, "train__jit_compile": jit}
        yield measure_speed(make_params(recipe, on_cpu, **changes), recipe, on_cpu)


def measure_speed(params: Any, recipe: str, on_cpu: bool) -> dict[str, Any]:
    """Train on a batch of noise."""
    import keras
    import numpy as np
    import tensorflow as tf

    from petseg.determinism import make_deterministic
    from petseg.model.unet import Architecture, build_unet
    from petseg.training.batch_norms import prepare_batch_norms
    from petseg.training.devices import strategy_for
    from petseg.training.precision import dtype_policy_scope, set_up_precision
    from petseg.training.steps import make_train_step
    from petseg.training.train_state import TrainState

    keras.utils.clear_session()
    keras.utils.set_random_seed(0)
    make_deterministic()
    set_up_precision(params.train.precision)
    size, batch_size = params.preprocess.image_size, params.train.batch_size
    strategy = strategy_for(["CPU:0" if on_cpu else "GPU:0"])
    with strategy.scope():
        with dtype_policy_scope(params.train.precision):
            architecture = params.model.model_dump(exclude={"weights"})
            network = build_unet(Architecture(**architecture, classes=3))
        layers = [*network.layers, *network.get_layer("encoder").layers]
        prepare_batch_norms(layers, 100, 1)
        state = TrainState(network, params.train, 100)
    step = make_train_step(
        strategy,
        network,
        list(state.groups.values()),
        batch_size=batch_size,
        loss_params=params.train.loss,
        clip_norm=params.train.clip_norm,
        ema=state.ema,
        loss_scale=state.loss_scale,
        jit_compile=params.train.jit_compile,
    )
    rng = np.random.default_rng(0)
    image = tf.constant(rng.uniform(0, 255, (batch_size, *size, 3)), tf.float32)
    mask = tf.constant(rng.integers(0, 3, (batch_size, *size)), tf.uint8)
    losses = [float(step(image, mask)[0]) for _ in range(3)]
    num_timed = 2 if on_cpu else _TIMED_STEPS
    start = time.monotonic()
    for _ in range(num_timed):
        loss, _ = step(image, mask)
        float(loss)  # as the training loop does
    seconds = time.monotonic() - start
    peak = "" if on_cpu else tf.config.experimental.get_memory_info("GPU:0")["peak"] // 2**20
    return {
        "network": recipe or "params.yaml",
        "size": size,
        "batch": batch_size,
        "precision": params.train.precision + (", XLA" if params.train.jit_compile else ""),
        "losses": losses,
        "speed": num_timed * batch_size / seconds,
        "peak": peak,
    }


def main(task: str, folder: str, on_cpu: bool, **arguments: Any) -> None:
    import_tensorflow()
    from support.encoders import small_encoder

    tasks = {"prepare": prepare_task, "train": train_task, "speed": speed_task}
    run: Any = tasks[task]
    with small_encoder() if on_cpu else nullcontext():
        for result in run(Path(folder), on_cpu, **arguments):
            print("RESULT", json.dumps(result), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], **json.loads(sys.argv[2]))
