"""The whole stage evaluate, validation and test split, against the bare forward pass."""

import tempfile
import time
from dataclasses import replace
from pathlib import Path

import tensorflow as tf

from benchmarks.contenders import Contender, Ready, rate, ratio, take_turns
from benchmarks.findings import Outcome, Table, Target
from benchmarks.options import Options
from benchmarks.workspace import Data, drawn_params, made_up_batch, prepare, save_untrained
from petseg.config.params import Params
from petseg.config.paths import PipelinePaths
from petseg.determinism import make_deterministic
from petseg.evaluation.evaluate import evaluate
from petseg.model.saved import load_model
from petseg.prediction.tta import predict_probabilities
from petseg.shards.manifest import read_manifest


def whole_stage(params: Params, data: Data, model: Path) -> Ready:
    manifest = read_manifest(data.records)
    pictures = sum(manifest.splits[split].num_examples for split in ("val", "test"))

    def once() -> float:
        with tempfile.TemporaryDirectory() as folder:
            paths = replace(PipelinePaths.under(Path(folder)), shards=data.records, model=model)
            start = time.perf_counter()
            evaluate(params.evaluate, paths)
            return pictures / (time.perf_counter() - start)

    return Ready(once, {"pictures": pictures})


def forward(params: Params, model: Path, seconds: float) -> Ready:
    """The same function of the network, on a batch that is already there."""
    make_deterministic()
    network = load_model(model).network
    batch = params.evaluate.batch_size
    image, _ = made_up_batch(batch, params.preprocess.image_size)

    @tf.function
    def predict(pixels: tf.Tensor) -> tf.Tensor:
        return tf.argmax(
            predict_probabilities(network, tf.cast(pixels, tf.float32), params.evaluate.tta), -1
        )

    pixels = tf.constant(image)
    return Ready(lambda: rate(lambda: predict(pixels).numpy(), batch, seconds))


def run(options: Options) -> Outcome:
    size = options.sizes[0]
    tables, targets = [], []
    for recipe in ("fast", "default"):
        params = drawn_params(
            recipe,
            options.pictures,
            size,
            dataset__synthetic_pets__test=4
            * options.pictures,  # of the real data set half is the test split
            evaluate__tta__scales=[1],
            evaluate__tta__flip=False,
        )
        data = prepare(params, options.scratch)
        model = save_untrained(params, options.scratch)
        bare, stage = take_turns(
            [
                Contender(
                    "bare forward pass",
                    forward,
                    {"params": params, "model": model, "seconds": options.seconds},
                ),
                Contender(
                    "stage evaluate", whole_stage, {"params": params, "data": data, "model": model}
                ),
            ],
            "images/s",
            options.repetitions,
        )
        tables.append(Table(f"Evaluation of `{recipe}` at {size} px", [bare, stage]))
        targets.append(
            Target(f"stage evaluate to the bare forward pass, `{recipe}`", ratio(stage, bare), 0.85)
        )
    return Outcome("evaluate", tables, targets)
