"""The train stage: from shards to a saved model, its metrics and its history."""

import os
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import keras

from petseg.config.params import Params
from petseg.config.paths import PipelinePaths, main_repository
from petseg.config.train_params import TrainParams
from petseg.config.types import BatchNormMode
from petseg.core.atomic_io import write_json
from petseg.core.errors import PetsegError
from petseg.determinism import make_deterministic
from petseg.model.saved import Origin, SavedModel, save_model
from petseg.model.unet import Architecture, build_unet
from petseg.shards.manifest import MANIFEST_FILE, Manifest, open_shards, read_manifest
from petseg.training.checkpoint_dir import (
    checkpoint_dir_for,
    delete_finished,
    imported_modules,
    mark_finished,
    record_environment,
    report_other_environments,
    training_lock,
)
from petseg.training.cluster import Worker, read_worker
from petseg.training.devices import (
    find_devices,
    find_gpus,
    set_intra_op_threads,
    strategy_for,
)
from petseg.training.distributed import (
    assert_same_config,
    broadcast_from_chief,
    translate_worker_failures,
)
from petseg.training.environment import describe_environment
from petseg.training.history import Epoch, best_epoch
from petseg.training.imbalance import class_repeats, describe_imbalance, weigh_classes
from petseg.training.initial_weights import describe_start, identifying_file, load_initial_weights
from petseg.training.loop import Trainer
from petseg.training.precision import (
    describe_missing_support,
    dtype_policy_scope,
    set_up_precision,
)
from petseg.training.previews import Previews
from petseg.training.training_data import TrainingData

_LOCK_FILE = Path("dvc.lock")
_SETTINGS_WITHOUT_EFFECT = ("cache", "checkpoint_every_steps", "preview_images", "tensorboard")


def train(params: Params, paths: PipelinePaths) -> Path:
    """Train a model and write it with its metrics and history. Raises PetsegError.

    The checkpoints stay until the model is known to be in DVC's cache (see checkpoint_dir.py).
    Returns their folder. With several workers, only the chief writes.
    """
    worker = read_worker()
    _assert_dvc_runs_the_chief(worker)
    manifest = read_manifest(paths.shards)
    train_params = params.train.model_copy(
        update={"loss": weigh_classes(params.train.loss, manifest)}
    )
    data = _open_data(paths.shards, manifest, worker, params.train)
    set_intra_op_threads(params.train.intra_op_threads)
    set_up_precision(params.train.precision)
    devices, description = find_devices()
    _announce(description, data, train_params, manifest)
    keras.utils.set_random_seed(params.seed)
    if params.train.deterministic:
        make_deterministic()
    architecture = Architecture(
        **params.model.model_dump(exclude={"weights"}), classes=len(manifest.classes)
    )
    with translate_worker_failures(worker):
        strategy = strategy_for(devices, worker)
        with strategy.scope(), dtype_policy_scope(params.train.precision):
            network = build_unet(architecture)
            start = load_initial_weights(
                network, architecture, manifest.class_names, params.model.weights
            )
    if start:
        print(describe_start(start, manifest), flush=True)
    environment = describe_environment(worker.num_workers, params.train.precision)
    checkpoint_dir = _checkpoint_dir(params, paths.shards, environment)
    events_dir = main_repository() / paths.tensorboard / checkpoint_dir.name
    with (
        training_lock(checkpoint_dir) if worker.is_chief else nullcontext(),
        translate_worker_failures(worker),
    ):
        if worker.is_chief:
            delete_finished(checkpoint_dir, _LOCK_FILE)
            record_environment(checkpoint_dir, environment)
            report_other_environments(checkpoint_dir, environment)
        assert_same_config(strategy, worker, checkpoint_dir.name)
        trainer = Trainer(
            network,
            strategy,
            data,
            train_params,
            seed=params.seed,
            encoder_batch_norm=_encoder_batch_norm(params),
            checkpoint_dir=checkpoint_dir,
            previews=_previews(params, manifest, paths.previews) if worker.is_chief else None,
            events_dir=events_dir if params.train.tensorboard else None,
        )
        history = trainer.fit(paths.history)
        if worker.is_chief:
            best = best_epoch(history)
            origin = _origin(manifest, params.seed, best, start.sha256 if start else None)
            saved = SavedModel(
                network,
                architecture,
                manifest.classes,
                manifest.image_size,
                origin=origin,
                resize=manifest.resize,
                tiles=manifest.tiles,
            )
            save_model(saved, paths.model)
            metrics = _metrics(best, network, params.train.deterministic, environment)
            if params.train.patience:
                metrics["epochs"] = len(history)
            write_json(paths.train_metrics, metrics)
            mark_finished(checkpoint_dir, paths.model)
        broadcast_from_chief(strategy, worker, b"done")  # the other workers wait for it
    return checkpoint_dir


def _announce(devices: str, data: TrainingData, params: TrainParams, manifest: Manifest) -> None:
    """Print what is trained on what, and what to know about it."""
    worker = data.worker
    role = f" as {worker}, once all workers have started" if worker.num_workers > 1 else ""
    print(
        f"Training on {devices}{role}: {data.train.num_examples} {data.unit}, "
        f"{data.val.num_examples} for validation.",
        flush=True,
    )
    support = describe_missing_support(params.precision, find_gpus())
    for note in filter(None, (support, *describe_imbalance(params, manifest))):
        print(note, flush=True)


def _assert_dvc_runs_the_chief(worker: Worker) -> None:
    if not worker.is_chief and "DVC_STAGE" in os.environ:
        raise PetsegError(
            f"{str(worker).capitalize()} writes no outputs, which DVC would report as missing; "
            "run dvc repro on worker 1 only, and python stages/train.py on the others."
        )


def _open_data(
    shards_dir: Path, manifest: Manifest, worker: Worker, params: TrainParams
) -> TrainingData:
    """Verify this worker's shards, and fetch them if they are remote."""
    train, val = (
        open_shards(shards_dir, manifest, split, worker.rank, worker.num_workers, params.cache)
        for split in ("train", "val")
    )
    repeats = class_repeats(params.oversample_below, manifest)
    return TrainingData(train, val, repeats, "tiles" if manifest.tiles else "images")


def _checkpoint_dir(params: Params, shards_dir: Path, environment: str) -> Path:
    """Return the checkpoint folder for everything that the result depends on."""
    settings = params.model_dump(mode="json", include={"model", "train", "seed"})
    for name in _SETTINGS_WITHOUT_EFFECT:
        del settings["train"][name]
    files = [shards_dir / MANIFEST_FILE]
    if weights_file := identifying_file(params.model.weights):
        files.append(weights_file)
    # A run that isn't deterministic may resume on another kind of machine.
    fixed_environment = environment if params.train.deterministic else ""
    return checkpoint_dir_for(settings, files, imported_modules(), fixed_environment)


def _encoder_batch_norm(params: Params) -> BatchNormMode:
    """Return what to train of the encoder's batch norms: all without pretrained weights.

    With pretrained weights, freezing them is as accurate and faster (docs/results.md).
    """
    mode = params.train.encoder_batch_norm
    if mode == "auto":
        return "trained" if params.model.weights == "none" else "frozen"
    return mode


def _previews(params: Params, manifest: Manifest, folder: Path) -> Previews | None:
    num_images = params.train.preview_images
    return Previews(num_images, list(manifest.classes.values()), folder) if num_images else None


def _origin(manifest: Manifest, seed: int, best: Epoch, initial_sha256: str | None) -> Origin:
    return Origin(
        dataset=manifest.dataset,
        train_images=manifest.splits["train"].num_images,
        val_images=manifest.splits["val"].num_images,
        val_sha256=manifest.checksum("val"),
        test_sha256=manifest.checksum("test"),
        seed=seed,
        best_epoch=best.epoch,
        val_mean_iou=round(best.val_mean_iou, 6),
        val_pixel_accuracy=round(best.val_pixel_accuracy, 6),
        initial_weights_sha256=initial_sha256,
    )


def _metrics(
    best: Epoch, network: keras.Model, deterministic: bool, environment: str
) -> dict[str, Any]:
    """Return the content of metrics/train.json."""
    return {
        "best_epoch": best.epoch,
        "train_loss": round(best.loss, 6),
        "train_mean_iou": round(best.mean_iou, 6),
        "val_loss": round(best.val_loss, 6),
        "val_mean_iou": round(best.val_mean_iou, 6),
        "val_pixel_accuracy": round(best.val_pixel_accuracy, 6),
        "parameters": network.count_params(),
        "deterministic": deterministic,  # the same bytes in the same environment
        "environment": environment,
    }
