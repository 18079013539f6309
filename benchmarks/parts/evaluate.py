"""The evaluate stage on the validation and test splits, compared with the bare forward pass."""

import tempfile
import time
from dataclasses import replace
from pathlib import Path

import tensorflow as tf

from benchmarks.contenders import Contender, Prepared, rate, ratio, take_turns
from benchmarks.options import Options
from benchmarks.results import Results, Table, Target
from benchmarks.workspace import Data, prepare_data, random_batch, save_untrained, synthetic_params
from petseg.config.params import Params
from petseg.config.paths import PipelinePaths
from petseg.determinism import make_deterministic
from petseg.evaluation.evaluate import evaluate
from petseg.model.saved import load_model
from petseg.prediction.tta import predict_probabilities
from petseg.shards.manifest import read_manifest


def whole_stage(params: Params, data: Data, model: Path) -> Prepared:
    manifest = read_manifest(data.shards_dir)
    num_images = sum(manifest.splits[split].num_examples for split in ("val", "test"))

    def measure() -> float:
        with tempfile.TemporaryDirectory() as folder:
            paths = replace(PipelinePaths.under(Path(folder)), shards=data.shards_dir, model=model)
            start = time.perf_counter()
            evaluate(params.evaluate, paths)
            return num_images / (time.perf_counter() - start)

    return Prepared(measure, {"images": num_images})


def forward(params: Params, model: Path, seconds: float) -> Prepared:
    """Run the same computation on a batch in memory."""
    make_deterministic()
    network = load_model(model).network
    batch = params.evaluate.batch_size
    image, _ = random_batch(batch, params.preprocess.image_size)

    @tf.function
    def predict(pixels: tf.Tensor) -> tf.Tensor:
        return tf.argmax(
            predict_probabilities(network, tf.cast(pixels, tf.float32), params.evaluate.tta), -1
        )

    pixels = tf.constant(image)
    return Prepared(lambda: rate(lambda: predict(pixels).numpy(), batch, seconds))


def run(options: Options) -> Results:
    size = options.sizes[0]
    tables, targets = [], []
    for recipe in ("fast", "mobilenet pets128"):
        params = synthetic_params(
            recipe,
            options.num_images,
            size,
            # A large test split, like that of Oxford-IIIT Pet.
            dataset__synthetic_pets__test=4 * options.num_images,
            evaluate__tta__scales=[1],
            evaluate__tta__flip=False,
        )
        data = prepare_data(params, options.scratch)
        model = save_untrained(params, options.scratch)
        bare, stage = take_turns(
            [
                Contender(
                    "bare forward pass",
                    forward,
                    {"params": params, "model": model, "seconds": options.seconds},
                ),
                Contender(
                    "evaluate stage", whole_stage, {"params": params, "data": data, "model": model}
                ),
            ],
            "images/s",
            options.repetitions,
        )
        tables.append(Table(f"Evaluation of `{recipe}` at {size} px", [bare, stage]))
        targets.append(
            Target(
                f"evaluate stage relative to the bare forward pass, `{recipe}`",
                ratio(stage, bare),
                0.85,
            )
        )
    return Results("evaluate", tables, targets)
