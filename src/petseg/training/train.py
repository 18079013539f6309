"""The stage train: from shards to a saved model, its metrics and its history."""

import json
from pathlib import Path

import keras
import numpy as np

import petseg
from petseg.determinism import make_deterministic
from petseg.model.encoder import load_encoder_weights
from petseg.model.saved import SavedModel, save_model
from petseg.model.unet import Architecture, build_unet
from petseg.params import Params
from petseg.records.manifest import MANIFEST_FILE, checked_shards, read_manifest
from petseg.training.checkpoint import backup_folder, discard_state
from petseg.training.devices import find_devices, strategy_for
from petseg.training.history import best_epoch
from petseg.training.loop import TrainingData, fit


def train(params: Params, records_dir: Path, model_dir: Path, metrics_file: Path, history_file: Path) -> None:
    """Train and write everything; the checkpoint is removed when all of it is written. Raises PetsegError."""
    manifest = read_manifest(records_dir)
    data = TrainingData(
        train=checked_shards(records_dir, manifest, "train"),
        val=checked_shards(records_dir, manifest, "val"),
        train_examples=manifest.splits["train"].examples,
        val_examples=manifest.splits["val"].examples,
        image_size=manifest.image_size,
    )
    devices, story = find_devices()
    print(f"Training on {story}: {data.train_examples} pictures, {data.val_examples} for validation.", flush=True)
    keras.utils.set_random_seed(params.seed)
    make_deterministic()

    model = params.model
    architecture = Architecture(model.encoder, model.alpha, tuple(model.decoder_filters), len(manifest.classes))
    strategy = strategy_for(devices)
    with strategy.scope():
        network = build_unet(architecture)
        if model.weights != "none":
            load_encoder_weights(network.get_layer("encoder"), model.encoder, model.alpha, model.weights)

    settings = params.model_dump(mode="json", include={"model", "train", "seed"})
    pretrained = [Path(model.weights)] if model.weights not in ("none", "imagenet") else []
    files = [records_dir / MANIFEST_FILE, *pretrained]
    backup = backup_folder(settings, files, code=Path(petseg.__file__).parent)
    history = fit(network, strategy, data, params.train, _trains_batch_norm(params), params.seed, history_file, backup)

    save_model(SavedModel(network, architecture, manifest.classes, manifest.image_size), model_dir)
    best = best_epoch(history)
    metrics = {
        "best_epoch": best.epoch,
        "train_loss": round(best.loss, 6),
        "train_mean_iou": round(best.mean_iou, 6),
        "val_loss": round(best.val_loss, 6),
        "val_mean_iou": round(best.val_mean_iou, 6),
        "val_pixel_accuracy": round(best.val_pixel_accuracy, 6),
        "parameters": int(sum(np.prod(weight.shape) for weight in network.weights)),
    }
    metrics_file.parent.mkdir(parents=True, exist_ok=True)
    metrics_file.write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
    discard_state(backup)


def _trains_batch_norm(params: Params) -> bool:
    """Whether the encoder's batch norms follow the batches: from scratch they must, pretrained ones are better kept."""
    setting = params.train.encoder_batch_norm
    return params.model.weights == "none" if setting == "auto" else setting == "trained"
