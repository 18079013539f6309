"""The stage train: from shards to a saved model, its metrics and its history."""

import json
import os
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from petseg.backups import backup_folder, discard_committed, imported_code, mark_finished, only_trainer
from petseg.cluster import Worker, read_worker
from petseg.determinism import describe_environment, limit_threads, make_deterministic
from petseg.errors import PetsegError
from petseg.fields import Cache
from petseg.files import write_whole
from petseg.model.encoder import load_encoder_weights
from petseg.model.saved import Origin, SavedModel, save_model
from petseg.model.unet import Architecture, build_unet
from petseg.params import Params
from petseg.records.manifest import MANIFEST_FILE, Manifest, checked_shards, read_manifest
from petseg.records.storage import hold
from petseg.training.devices import find_devices, strategy_for
from petseg.training.history import Epoch, best_epoch
from petseg.training.loop import TrainingData, fit
from petseg.training.precision import computing_in
from petseg.training.previews import Previews
from petseg.training.workers import from_chief, lost_worker_told, same_training_everywhere


def train(
    params: Params, records_dir: Path, model_dir: Path, metrics_file: Path, history_file: Path, previews_dir: Path
) -> None:
    """Train and write everything; the checkpoint stays until the model is known to be safe. Raises PetsegError.

    Of several workers (see cluster.py) only the chief writes.
    """
    worker, manifest = read_worker(), read_manifest(records_dir)
    if not worker.is_chief and "DVC_STAGE" in os.environ:
        raise PetsegError(
            f"Worker {worker.number + 1} of {worker.of} writes nothing, and DVC would miss that; "
            "run python stages/train.py on it, and dvc repro on the first worker alone."
        )
    data = _data(records_dir, manifest, worker, params.train.cache)
    limit_threads(params.train.threads)
    devices, story = find_devices()
    together = f", as worker {worker.number + 1} of {worker.of}, once all have come" if worker.of > 1 else ""
    pictures = f"{data.train.examples} pictures, {data.val.examples} for validation"
    print(f"Training on {story}{together}: {pictures}.", flush=True)
    keras.utils.set_random_seed(params.seed)
    deterministic = params.train.deterministic
    if deterministic:
        make_deterministic()

    model = params.model
    architecture = Architecture(**model.model_dump(exclude={"weights"}), classes=len(manifest.classes))
    with lost_worker_told(worker):
        strategy = strategy_for(devices, worker)
        with strategy.scope(), computing_in(params.train.precision):
            network = build_unet(architecture)
            if model.weights != "none":
                load_encoder_weights(network.get_layer("encoder"), model.encoder, model.alpha, model.weights)

    environment = describe_environment(worker.of, params.train.precision)
    settings = params.model_dump(mode="json", include={"model", "train", "seed"})
    for without_effect in ("cache", "checkpoint_steps", "preview_pictures"):  # a training may go on with other numbers
        del settings["train"][without_effect]
    if deterministic:  # else a training may go on anywhere
        settings["environment"] = environment
    pretrained = [Path(model.weights)] if model.weights not in ("none", "imagenet") else []
    files = [records_dir / MANIFEST_FILE, *pretrained]
    backup = backup_folder(settings, files, imported_code())
    shown = params.train.preview_pictures if worker.is_chief else 0
    previews = Previews(shown, list(manifest.classes.values()), previews_dir) if shown else None
    if worker.is_chief:
        discard_committed(Path("dvc.lock"))
    with only_trainer(backup) if worker.is_chief else nullcontext(), lost_worker_told(worker):
        same_training_everywhere(strategy, worker, backup.name)
        history = fit(
            network,
            strategy,
            data,
            params.train,
            _trains_batch_norm(params),
            params.seed,
            history_file,
            backup,
            previews,
        )
        if worker.is_chief:
            origin = _origin(manifest, params.seed, best_epoch(history))
            save_model(SavedModel(network, architecture, manifest.classes, manifest.image_size, origin), model_dir)
            metrics = _metrics(history, network, deterministic, environment)
            write_whole(metrics_file, json.dumps(metrics, indent=2) + "\n")
            mark_finished(backup, model_dir)
        from_chief(strategy, worker, b"done")  # the others stay until then


def _data(records_dir: Path, manifest: Manifest, worker: Worker, cache: Cache) -> TrainingData:
    """The worker's shards, checked, where they are to be read in every epoch."""
    kept = Path(os.environ.get("DVC_ROOT", ".")) / ".cache" / "shards"  # for every experiment
    checked = (checked_shards(records_dir, manifest, split, worker) for split in ("train", "val"))
    return TrainingData(*(replace(shards, paths=hold(shards.paths, cache, kept)) for shards in checked))


def _origin(manifest: Manifest, seed: int, best: Epoch) -> Origin:
    return Origin(
        data=manifest.source,
        train_pictures=manifest.splits["train"].examples,
        val_pictures=manifest.splits["val"].examples,
        val_sha256=manifest.checksum("val"),
        seed=seed,
        epoch=best.epoch,
        val_mean_iou=round(best.val_mean_iou, 6),
        val_pixel_accuracy=round(best.val_pixel_accuracy, 6),
    )


def _metrics(history: list[Epoch], network: keras.Model, bit_exact: bool, environment: str) -> dict[str, Any]:
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
