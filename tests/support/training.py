"""Tiny trainings for tests of the loop."""

import functools
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from petseg.config.params import Params, parse_params
from petseg.determinism import make_deterministic
from petseg.model.unet import Architecture, build_unet
from petseg.shards.manifest import open_shards, read_manifest
from petseg.training.devices import strategy_for
from petseg.training.history import Epoch
from petseg.training.loop import Trainer
from petseg.training.training_data import TrainingData
from support.project import with_values

STEPS = 3  # in an epoch of the tiny training
ROW = Epoch(1, 0.1, 1.0, 0.2, 1.1, 0.3, 0.4)


def open_training_data(shards: Path) -> TrainingData:
    manifest = read_manifest(shards)
    train, val = (open_shards(shards, manifest, split) for split in ("train", "val"))
    return TrainingData(train, val)


def change_params(params: Params, **values: Any) -> Params:
    """Replace parameters; dots in their names are written as double underscores."""
    keys = {key.replace("__", "."): value for key, value in values.items()}
    return parse_params(with_values(params.model_dump(mode="json"), keys))


@functools.cache
def one_cpu() -> tf.distribute.Strategy:
    return strategy_for(["CPU:0"])


def build_tiny_network() -> keras.Model:
    with one_cpu().scope():
        return build_unet(Architecture("mobilenet_v2", 0.35, (8,), 3, output_stride=16))


def fit_tiny(
    params: Params,
    data: TrainingData,
    folder: Path,
    network: keras.Model | None = None,
    events_dir: Path | None = None,
) -> tuple[keras.Model, list[Epoch]]:
    """Train a tiny network in a folder. Return the network and the history."""
    keras.utils.set_random_seed(params.seed)
    make_deterministic()
    network = network or build_tiny_network()
    trainer = Trainer(
        network,
        one_cpu(),
        data,
        params.train,
        seed=params.seed,
        encoder_batch_norm="trained",
        checkpoint_dir=folder / "checkpoints",
        events_dir=events_dir,
    )
    history = trainer.fit(folder / "history.csv")
    return network, history
