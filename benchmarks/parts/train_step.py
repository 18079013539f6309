"""A training step, compared with the tutorial's, on images in memory; determinism; the loop."""

import importlib.util
import itertools
import time
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from benchmarks.contenders import Contender, Measurement, Prepared, rate, ratio, take_turns
from benchmarks.options import Options
from benchmarks.results import Results, Table, Target
from benchmarks.smp import smp_step
from benchmarks.tutorial import compile_tutorial
from benchmarks.tutorial_network import build_tutorial_network
from benchmarks.workspace import (
    CLASSES,
    Data,
    build_network,
    million_multiply_adds,
    prepare_data,
    random_batch,
    synthetic_params,
)
from petseg.batches import read_batches
from petseg.config.params import Params
from petseg.core.geometry import ImageSize
from petseg.determinism import make_deterministic
from petseg.model.encoder import set_encoder_trainable
from petseg.training.batch_norms import prepare_batch_norms
from petseg.training.device_feed import distribute, feed, make_augmentation, on_gpus
from petseg.training.devices import find_devices, strategy_for
from petseg.training.input_pipeline import training_batches
from petseg.training.optimizers import build_groups
from petseg.training.steps import Step, make_train_step

_FULL_BATCH_SIZE = 128  # px; larger images use half the batch, to fit all contenders into 24 GiB


def our_step(params: Params, frozen: bool) -> tuple[tf.distribute.Strategy, keras.Model, Step]:
    """Build the loop's step, with the encoder or just its batch norms frozen, as in the recipes."""
    if params.train.deterministic:
        make_deterministic()
    devices, _ = find_devices()
    strategy = strategy_for(devices)
    with strategy.scope():
        network = build_network(params)
    encoder = network.get_layer("encoder")
    prepare_batch_norms([*network.layers, *encoder.layers], 1000, strategy.num_replicas_in_sync)
    set_encoder_trainable(encoder, True, "frozen")
    with strategy.scope():
        groups = build_groups(network, params.train, 1000)
    set_encoder_trainable(encoder, not frozen, "frozen")
    active = [groups["decoder"]] if frozen else [groups["decoder"], groups["encoder"]]
    step = make_train_step(
        strategy,
        network,
        active,
        batch_size=params.train.batch_size,
        loss_params=params.train.loss,
        clip_norm=params.train.clip_norm,
        jit_compile=params.train.jit_compile,
    )
    return strategy, network, step


def ours(params: Params, frozen: bool, seconds: float) -> Prepared:
    size, batch = params.preprocess.image_size, params.train.batch_size
    strategy, network, step = our_step(params, frozen)
    image, mask = random_batch(batch, size)
    tensors = distribute(strategy, (tf.constant(image, tf.float32), tf.constant(mask)), copy=True)
    return Prepared(
        lambda: rate(lambda: float(step(*tensors)[0]), batch, seconds),
        _details(network, size),
    )


def tutorial_step(size: int, batch: int, frozen: bool, seconds: float) -> Prepared:
    network = compile_tutorial(build_tutorial_network(size, CLASSES, None, frozen))
    image, mask = random_batch(batch, ImageSize(size, size))
    pixels, classes = (
        tf.constant(image / np.float32(255)),
        tf.constant(mask[..., None].astype(np.float32)),
    )
    return Prepared(
        lambda: rate(lambda: network.train_on_batch(pixels, classes), batch, seconds),
        _details(network, ImageSize(size, size)),
    )


def our_epoch(params: Params, frozen: bool, data: Data) -> Prepared:
    """Train as the loop does: read and augment batches, fetch loss and counts after each step."""
    strategy, _, step = our_step(params, frozen)
    shards, train = data.open_shards("train"), params.train
    augmentation = make_augmentation(strategy, train.augment) if on_gpus(strategy) else None
    epochs = itertools.count(1)

    def epoch() -> float:
        batches = training_batches(
            shards,
            train.batch_size,
            train.shuffle_buffer,
            train.augment,
            0,
            next(epochs),
            augmented=augmentation is None,
        )
        loss_sum, counts, done = 0.0, tf.zeros([CLASSES, CLASSES], tf.int64), 0
        start = time.perf_counter()
        for batch in feed(strategy, read_batches(batches), augmentation):
            loss, matrix = step(*batch)
            loss_sum += float(loss)
            counts += matrix
            done += train.batch_size
        return done / (time.perf_counter() - start)

    return Prepared(epoch)


def run(options: Options) -> Results:
    tables, targets = [], []
    for size in options.sizes:
        contenders = _contenders(options, size)
        measured = take_turns(list(contenders.values()), "images/s", options.repetitions)
        tables.append(Table(f"Training step at {size} px, batch {_batch(size)}", measured))
        if size == options.sizes[0]:
            targets = _targets(dict(zip(contenders, measured, strict=True)))
    return Results("train_step", tables, targets)


def _contenders(options: Options, size: int) -> dict[str, Contender]:
    batch = _batch(size)

    def recipe(name: str, **changes: Any) -> Params:
        return synthetic_params(name, options.num_images, size, train__batch_size=batch, **changes)

    quick, fast, mobilenet = (recipe(name) for name in ("quick", "fast", "mobilenet pets128"))
    free = recipe("fast", train__deterministic=False)
    compiled = recipe("fast", train__jit_compile=True)
    quick_mixed, fast_mixed = (
        recipe(name, train__precision="mixed_bfloat16") for name in ("quick", "fast")
    )
    peer = {"size": size, "batch": batch, "seconds": options.seconds}
    data = prepare_data(fast, options.scratch)

    def step(name: str, params: Params, frozen: bool, suffix: str = "") -> Contender:
        settings = {"params": params, "frozen": frozen, "seconds": options.seconds}
        return Contender(
            f"`{name}`, encoder {'frozen' if frozen else 'trained'}{suffix}", ours, settings
        )

    def loop(name: str, params: Params, frozen: bool) -> Contender:
        title = f"`{name}`, encoder {'frozen' if frozen else 'trained'}, with input pipeline"
        return Contender(title, our_epoch, {"params": params, "frozen": frozen, "data": data})

    contenders = {
        "peer": Contender("tutorial, encoder frozen", tutorial_step, {**peer, "frozen": True}),
        "peer, whole": Contender(
            "tutorial, encoder trained", tutorial_step, {**peer, "frozen": False}
        ),
        "quick": step("quick", quick, True),
        "frozen": step("fast", fast, True),
        "trained": step("fast", fast, False),
    }
    more = {
        "free": step("fast", free, False, ", `train.deterministic=false`"),
        "xla": step("fast", compiled, False, ", `train.jit_compile=true`"),
        "quick, mixed": step("quick", quick_mixed, True, ", `train.precision=mixed_bfloat16`"),
        "mixed": step("fast", fast_mixed, False, ", `train.precision=mixed_bfloat16`"),
        "quick loop": loop("quick", quick, True),
        "loop": loop("fast", fast, False),
        "mobilenet": step("mobilenet pets128", mobilenet, False),
    }
    if size == options.sizes[0]:
        contenders |= more
    if importlib.util.find_spec("segmentation_models_pytorch"):
        contenders["smp"] = Contender(
            "segmentation_models.pytorch, encoder trained", smp_step, {**peer, "classes": CLASSES}
        )
    return contenders


def _batch(size: int) -> int:
    return 16 if size <= _FULL_BATCH_SIZE else 8


def _targets(rows: dict[str, Measurement]) -> list[Target]:
    def outside(loop: str, step: str) -> list[float]:
        return [1 - share for share in ratio(rows[loop], rows[step])]

    return [
        Target(
            "`quick`, encoder frozen, relative to the tutorial's",
            ratio(rows["quick"], rows["peer"]),
            2.5,
        ),
        Target(
            "`fast`, encoder trained, relative to the tutorial's, frozen",
            ratio(rows["trained"], rows["peer"]),
            1.3,
        ),
        Target(
            "share of an epoch outside the network, `quick`",
            outside("quick loop", "quick"),
            0.05,
            at_least=False,
        ),
        Target(
            "share of an epoch outside the network, `fast`",
            outside("loop", "trained"),
            0.05,
            at_least=False,
        ),
        Target(
            "step time with determinism relative to without",
            ratio(rows["free"], rows["trained"]),
            1.1,
            at_least=False,
        ),
    ]


def _details(network: keras.Model, size: ImageSize) -> dict[str, float | int]:
    return {
        "parameters": network.count_params(),
        "M multiply-adds": million_multiply_adds(network, size),
    }
