"""The stage train: from shards to a saved model, its metrics and its history."""

import json
import os
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import keras
import numpy as np

from petseg.config.params import Params
from petseg.config.paths import PipelinePaths
from petseg.config.types import Cache
from petseg.core.atomic_io import atomic_write
from petseg.core.errors import PetsegError
from petseg.determinism import describe_environment, limit_threads, make_deterministic
from petseg.model.encoder import load_encoder_weights
from petseg.model.saved import Origin, SavedModel, save_model
from petseg.model.unet import Architecture, build_unet
from petseg.shards.manifest import MANIFEST_FILE, Manifest, open_shards, read_manifest
from petseg.training.checkpoint_dir import (
    backup_folder,
    discard_committed,
    imported_code,
    mark_finished,
    training_lock,
)
from petseg.training.cluster import Worker, read_worker
from petseg.training.devices import find_devices, strategy_for
from petseg.training.distributed import (
    assert_same_config,
    broadcast_from_chief,
    translate_worker_failures,
)
from petseg.training.history import Epoch, best_epoch
from petseg.training.loop import TrainingData, fit
from petseg.training.precision import dtype_policy_scope
from petseg.training.previews import Previews


def train(params: Params, paths: PipelinePaths) -> None:
    """Train and write everything; the checkpoint stays until the model is known to be safe. Raises PetsegError.

    Of several workers (see cluster.py) only the chief writes.
    """
    worker, manifest = read_worker(), read_manifest(paths.shards)
    if not worker.is_chief and "DVC_STAGE" in os.environ:
        raise PetsegError(
            f"Worker {worker.rank + 1} of {worker.num_workers} writes nothing, and DVC would miss that; "
            "run python stages/train.py on it, and dvc repro on the first worker alone."
        )
    data = _data(paths.shards, manifest, worker, params.train.cache)
    limit_threads(params.train.intra_op_threads)
    devices, story = find_devices()
    together = (
        f", as worker {worker.rank + 1} of {worker.num_workers}, once all have come"
        if worker.num_workers > 1
        else ""
    )
    pictures = f"{data.train.num_examples} pictures, {data.val.num_examples} for validation"
    print(f"Training on {story}{together}: {pictures}.", flush=True)
    keras.utils.set_random_seed(params.seed)
    deterministic = params.train.deterministic
    if deterministic:
        make_deterministic()

    model = params.model
    architecture = Architecture(
        **model.model_dump(exclude={"weights"}), classes=len(manifest.classes)
    )
    with translate_worker_failures(worker):
        strategy = strategy_for(devices, worker)
        with strategy.scope(), dtype_policy_scope(params.train.precision):
            network = build_unet(architecture)
            if model.weights != "none":
                load_encoder_weights(
                    network.get_layer("encoder"), model.encoder, model.alpha, model.weights
                )

    environment = describe_environment(worker.num_workers, params.train.precision)
    settings = params.model_dump(mode="json", include={"model", "train", "seed"})
    for without_effect in (
        "cache",
        "checkpoint_every_steps",
        "preview_images",
    ):  # a training may go on with other numbers
        del settings["train"][without_effect]
    if deterministic:  # else a training may go on anywhere
        settings["environment"] = environment
    pretrained = [Path(model.weights)] if model.weights not in ("none", "imagenet") else []
    files = [paths.shards / MANIFEST_FILE, *pretrained]
    backup = backup_folder(settings, files, imported_code())
    shown = params.train.preview_images if worker.is_chief else 0
    previews = Previews(shown, list(manifest.classes.values()), paths.previews) if shown else None
    if worker.is_chief:
        discard_committed(Path("dvc.lock"))
    with (
        training_lock(backup) if worker.is_chief else nullcontext(),
        translate_worker_failures(worker),
    ):
        assert_same_config(strategy, worker, backup.name)
        history = fit(
            network,
            strategy,
            data,
            params.train,
            _trains_batch_norm(params),
            params.seed,
            paths.history,
            backup,
            previews,
        )
        if worker.is_chief:
            origin = _origin(manifest, params.seed, best_epoch(history))
            save_model(
                SavedModel(network, architecture, manifest.classes, manifest.image_size, origin),
                paths.model,
            )
            metrics = _metrics(history, network, deterministic, environment)
            atomic_write(paths.train_metrics, json.dumps(metrics, indent=2) + "\n")
            mark_finished(backup, paths.model)
        broadcast_from_chief(strategy, worker, b"done")  # the others stay until then


def _data(shards_dir: Path, manifest: Manifest, worker: Worker, cache: Cache) -> TrainingData:
    """The worker's verified shards, where they can be read in every epoch."""
    train, val = (
        open_shards(shards_dir, manifest, split, worker.rank, worker.num_workers, cache)
        for split in ("train", "val")
    )
    return TrainingData(train, val, worker)


def _origin(manifest: Manifest, seed: int, best: Epoch) -> Origin:
    return Origin(
        dataset=manifest.dataset,
        train_images=manifest.splits["train"].num_examples,
        val_images=manifest.splits["val"].num_examples,
        val_sha256=manifest.checksum("val"),
        seed=seed,
        best_epoch=best.epoch,
        val_mean_iou=round(best.val_mean_iou, 6),
        val_pixel_accuracy=round(best.val_pixel_accuracy, 6),
    )


def _metrics(
    history: list[Epoch], network: keras.Model, bit_exact: bool, environment: str
) -> dict[str, Any]:
    best = best_epoch(history)
    scores = {
        "train_loss": best.loss,
        "train_mean_iou": best.mean_iou,
        "val_loss": best.val_loss,
        "val_mean_iou": best.val_mean_iou,
        "val_pixel_accuracy": best.val_pixel_accuracy,
    }
    return {
        "best_epoch": best.epoch,
        **{name: round(score, 6) for name, score in scores.items()},
        "parameters": int(sum(np.prod(weight.shape) for weight in network.weights)),
        "bit_exact": bit_exact,  # the same bytes wherever all that `environment` names is the same
        "environment": environment,
    }


def _trains_batch_norm(params: Params) -> bool:
    """Whether the encoder's batch norms follow the batches: from scratch they must.

    Pretrained ones are as accurate if they are kept, and a step is faster (docs/results.md).
    """
    setting = params.train.encoder_batch_norm
    return params.model.weights == "none" if setting == "auto" else setting == "trained"
