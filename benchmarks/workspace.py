"""Data sets, parameters and networks for the benchmarks, made as the stages make them."""

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
from petseg.core.geometry import ImageSize
from petseg.core.hashing import sha256_of
from petseg.core.labels import TRIMAP_CLASSES, colors_of
from petseg.datasets.prepare import prepare_dataset
from petseg.exporting.convert import convert
from petseg.exporting.exported import FILE_NAMES, SourceModel, write_exported
from petseg.exporting.tflite_compat import with_constant_weights
from petseg.model.saved import MODEL_FILE, SavedModel, load_model, save_model
from petseg.model.unet import Architecture, build_unet
from petseg.preprocessing.preprocess import preprocess
from petseg.shards.manifest import ShardSet, open_shards, read_manifest
from petseg.training.precision import dtype_policy_scope
from support.project import ROOT, recipe_settings, with_values

CLASSES = 3


@dataclass(frozen=True)
class Data:
    """A prepared data set and its shards."""

    raw: Path
    shards_dir: Path

    def open_shards(self, split: str) -> ShardSet:
        return open_shards(self.shards_dir, read_manifest(self.shards_dir), split)


def recipe_params(recipe: str, **changes: Any) -> Params:
    """Return params.yaml with a recipe's settings and these changes (a__b stands for a.b).

    As in `make pets`, a second word in `recipe` changes the recipe of the first.
    """
    settings: dict[str, Any] = {}
    for name in recipe.split():
        settings |= recipe_settings(ROOT / "recipes" / f"{name}.txt")
    settings |= {key.replace("__", "."): value for key, value in changes.items()}
    return parse_params(
        with_values(load_params(ROOT / "params.yaml").model_dump(mode="json"), settings)
    )


def synthetic_params(recipe: str, num_images: int, size: int, **changes: Any) -> Params:
    """Return a recipe's parameters for synthetic images, without pretrained weights."""
    synthetic = {
        "dataset__name": "synthetic_pets",
        "dataset__synthetic_pets__trainval": num_images,
        "dataset__synthetic_pets__test": max(1, num_images // 5),
        "dataset__synthetic_pets__size": size,
        "preprocess__image_size": size,
        "model__weights": "none",
        "train__encoder_batch_norm": "auto",
        "train__frozen_encoder_epochs": 0,
    }
    return recipe_params(recipe, **{**synthetic, **changes})


def prepare_data(params: Params, scratch: Path) -> Data:
    """Run the download and preprocess stages, unless `scratch` already has their results."""
    folder = scratch / f"data-{_key(params.dataset, params.preprocess, params.seed)}"
    data = Data(folder / "raw", folder / "tfrecords")
    if not data.raw.exists():
        prepare_dataset(params.dataset, data.raw, scratch / "archives")
    if not data.shards_dir.exists():
        preprocess(params.preprocess, params.seed, data.raw, data.shards_dir)
    return data


def build_network(params: Params) -> keras.Model:
    """Build the untrained U-Net of these parameters in their precision."""
    with dtype_policy_scope(params.train.precision):
        return build_unet(_architecture(params))


def _architecture(params: Params) -> Architecture:
    return Architecture(**params.model.model_dump(exclude={"weights"}), classes=CLASSES)


def random_batch(batch_size: int, size: ImageSize) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return images (B, H, W, 3) and masks (B, H, W) of noise."""
    random = np.random.default_rng(0)
    image = random.integers(0, 256, (batch_size, *size, 3), np.uint8)
    return image, random.integers(0, CLASSES, (batch_size, *size), np.uint8)


def million_multiply_adds(network: keras.Model, size: ImageSize) -> float:
    """Count the multiply-adds for one image, in millions, with TensorFlow's profiler."""
    function = tf.function(lambda image: network(image, training=False))
    tf.get_logger().setLevel("ERROR")  # the profiler calls deprecated functions
    concrete = function.get_concrete_function(tf.TensorSpec([1, *size, 3], tf.float32))
    graph = with_constant_weights(concrete).graph
    options = tf.compat.v1.profiler.ProfileOptionBuilder(
        tf.compat.v1.profiler.ProfileOptionBuilder.float_operation()
    ).with_empty_output()
    profile = tf.compat.v1.profiler.profile(graph, options=options.build())
    return float(profile.total_float_ops / 2 / 1e6)


def save_untrained(params: Params, scratch: Path) -> Path:
    """Save an untrained model, unless `scratch` already has it, and return its directory."""
    folder = scratch / f"model-{_key(params.model, params.preprocess.image_size)}"
    if not folder.exists():
        network, classes = build_network(params), colors_of(TRIMAP_CLASSES)
        save_model(
            SavedModel(network, _architecture(params), classes, params.preprocess.image_size),
            folder,
        )
    return folder


def save_exported(model: Path) -> Path:
    """Export a model in every format, unless already done, and return the directory."""
    folder = model.with_name(f"{model.name}-exported")
    if not folder.exists():
        saved = load_model(model)
        examples = list(random_batch(16, saved.image_size)[0])
        contents = {name: convert(saved, name, examples) for name in FILE_NAMES}
        source = SourceModel(
            classes=saved.classes, image_size=saved.image_size, sha256=sha256_of(model / MODEL_FILE)
        )
        with atomic_directory(folder) as partial:
            write_exported(partial, contents, source)
    return folder


def _key(*parts: object) -> str:
    return hashlib.sha256(str(parts).encode()).hexdigest()[:16]
