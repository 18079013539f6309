"""Data sets, parameters and networks to work with: as the stages make them, in a scratch folder."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from petseg.config.params import Params, load_params, parse_params
from petseg.core.atomic_io import atomic_directory
from petseg.core.hashing import sha256_of
from petseg.core.labels import TRIMAP_CLASSES, colors_of
from petseg.datasets.prepare import prepare_dataset
from petseg.exporting.convert import convert
from petseg.exporting.exported import FILE_NAMES, SourceModel, write_exported
from petseg.model.saved import MODEL_FILE, SavedModel, load_model, save_model
from petseg.model.unet import Architecture, build_unet
from petseg.preprocessing.preprocess import preprocess
from petseg.shards.manifest import ShardSet, open_shards, read_manifest
from petseg.training.precision import dtype_policy_scope
from support.project import ROOT, recipe_settings, with_values

CLASSES = 3


@dataclass(frozen=True)
class Data:
    """A prepared data set and the shards made of it."""

    raw: Path
    records: Path

    def shards(self, split: str) -> ShardSet:
        return open_shards(self.records, read_manifest(self.records), split)


def recipe_params(recipe: str, **changes: Any) -> Params:
    """params.yaml with the settings of a recipe and then the changes, dots written as double underscores."""
    settings = recipe_settings(ROOT / "recipes" / f"{recipe}.txt")
    settings |= {key.replace("__", "."): value for key, value in changes.items()}
    return parse_params(
        with_values(load_params(ROOT / "params.yaml").model_dump(mode="json"), settings)
    )


def drawn_params(recipe: str, pictures: int, size: int, **changes: Any) -> Params:
    """A recipe on pets drawn by code: so many for training and validation, an encoder that starts from nothing."""
    drawn = {
        "dataset__name": "synthetic_pets",
        "dataset__synthetic_pets__trainval": pictures,
        "dataset__synthetic_pets__test": max(1, pictures // 5),
        "dataset__synthetic_pets__size": size,
        "preprocess__image_size": size,
        "model__weights": "none",
        "train__encoder_batch_norm": "auto",
        "train__frozen_encoder_epochs": 0,
    }
    return recipe_params(recipe, **{**drawn, **changes})


def prepare(params: Params, scratch: Path) -> Data:
    """What the stages download and preprocess make, in a folder that is kept for the same parameters."""
    folder = scratch / f"data-{_key(params.dataset, params.preprocess, params.seed)}"
    data = Data(folder / "raw", folder / "tfrecords")
    if not data.raw.exists():
        prepare_dataset(params.dataset, data.raw, scratch / "archives")
    if not data.records.exists():
        preprocess(params.preprocess, params.seed, data.raw, data.records)
    return data


def build_network(params: Params) -> keras.Model:
    """The U-Net of these parameters, with random weights, in their precision."""
    with dtype_policy_scope(params.train.precision):
        return build_unet(_architecture(params))


def _architecture(params: Params) -> Architecture:
    return Architecture(**params.model.model_dump(exclude={"weights"}), classes=CLASSES)


def made_up_batch(batch_size: int, size: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Images (B, S, S, 3) and masks (B, S, S) of noise, for work whose time doesn't depend on what it sees."""
    random = np.random.default_rng(0)
    image = random.integers(0, 256, (batch_size, size, size, 3), np.uint8)
    return image, random.integers(0, CLASSES, (batch_size, size, size), np.uint8)


def million_multiply_adds(network: keras.Model, size: int) -> float:
    """Of one picture's way through the network, as TensorFlow's own profiler counts them."""
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    function = tf.function(lambda image: network(image, training=False))
    tf.get_logger().setLevel("ERROR")  # the profiler calls what TensorFlow has deprecated
    concrete = function.get_concrete_function(tf.TensorSpec([1, size, size, 3], tf.float32))
    graph = convert_variables_to_constants_v2(concrete).graph
    options = tf.compat.v1.profiler.ProfileOptionBuilder(
        tf.compat.v1.profiler.ProfileOptionBuilder.float_operation()
    ).with_empty_output()
    counted = tf.compat.v1.profiler.profile(graph, options=options.build())
    return float(counted.total_float_ops / 2 / 1e6)


def save_untrained(params: Params, scratch: Path) -> Path:
    """A model's folder with the weights that training starts from."""
    folder = scratch / f"model-{_key(params.model, params.preprocess.image_size)}"
    if not folder.exists():
        network, classes = build_network(params), colors_of(TRIMAP_CLASSES)
        save_model(
            SavedModel(network, _architecture(params), classes, params.preprocess.image_size),
            folder,
        )
    return folder


def save_exported(model: Path) -> Path:
    """A model in every format."""
    folder = model.with_name(f"{model.name}-exported")
    if not folder.exists():
        saved = load_model(model)
        examples = list(made_up_batch(16, saved.image_size)[0])
        contents = {
            name: convert(saved.network, saved.image_size, name, examples) for name in FILE_NAMES
        }
        facts = SourceModel(
            classes=saved.classes, image_size=saved.image_size, sha256=sha256_of(model / MODEL_FILE)
        )
        with atomic_directory(folder) as partial:
            write_exported(partial, contents, facts)
    return folder


def _key(*parts: object) -> str:
    return hashlib.sha256(str(parts).encode()).hexdigest()[:16]
