"""Untrained models for tests of everything that comes after training."""

from dataclasses import replace
from pathlib import Path

import keras

from petseg.config.params import Params
from petseg.config.paths import PipelinePaths
from petseg.core.geometry import ImageSize
from petseg.core.labels import colors_of
from petseg.evaluation.evaluate import evaluate
from petseg.model.saved import Origin, SavedModel, save_model
from petseg.model.unet import Architecture, build_unet
from petseg.shards.manifest import Manifest, Split, read_manifest
from petseg.training.history import Epoch, write_history

SMALL_ARCHITECTURE = Architecture("mobilenet_v2", 0.35, (8, 8, 8, 8), 3, output_stride=16)
"""That of `support.project.TINY`."""


def empty_manifest(*class_names: str) -> Manifest:
    """Describe shards of these classes, without images."""
    empty = Split(num_examples=0, pixels={}, categories={}, shards=())
    size, classes = ImageSize(32, 32), colors_of(class_names)
    return Manifest("folder", size, classes, first_label=0, splits={"val": empty, "test": empty})


def build_decided_network(architecture: Architecture = SMALL_ARCHITECTURE) -> keras.Model:
    """Build an untrained network that gives pixels different classes, with clear probabilities."""
    keras.utils.set_random_seed(0)
    network = build_unet(architecture)
    head = network.get_layer("head")
    kernel, bias = head.get_weights()
    head.set_weights([kernel * 100, bias])
    return network


def save_tiny_model(shards: Path, folder: Path) -> None:
    """Save such a network for the data set of these shards, as if the pipeline had trained it."""
    manifest = read_manifest(shards)
    origin = Origin(
        dataset=manifest.dataset,
        train_images=manifest.splits["train"].num_images,
        val_images=manifest.splits["val"].num_images,
        val_sha256="0",
        seed=0,
        best_epoch=2,
        val_mean_iou=0.3,
        val_pixel_accuracy=0.4,
    )
    network = build_decided_network()
    saved = SavedModel(
        network,
        SMALL_ARCHITECTURE,
        manifest.classes,
        manifest.image_size,
        origin,
        manifest.resize,
        manifest.tiles,
    )
    save_model(saved, folder)


def evaluate_tiny_model(params: Params, shards: Path, folder: Path) -> PipelinePaths:
    """Save a tiny model under a folder and write what train and evaluate write for it."""
    paths = replace(PipelinePaths.under(folder), shards=shards)
    save_tiny_model(shards, paths.model)
    paths.history.parent.mkdir(parents=True, exist_ok=True)
    write_history(
        [Epoch(1, 0.1, 1.0, 0.2, 1.1, 0.25, 0.4), Epoch(2, 0.1, 0.9, 0.3, 1.0, 0.3, 0.4)],
        paths.history,
    )
    evaluate(params.evaluate, paths)
    return paths
