"""The render stage, compared with the bare forward pass: images drawn per second."""

import tempfile
import time
from dataclasses import fields, replace
from pathlib import Path

import pandas as pd

from benchmarks.contenders import Contender, Prepared, take_turns
from benchmarks.options import Options
from benchmarks.parts.evaluate import forward
from benchmarks.results import Results, Table
from benchmarks.workspace import Data, prepare_data, save_untrained, synthetic_params
from petseg.config.params import Params
from petseg.config.paths import PipelinePaths
from petseg.evaluation.evaluate import evaluate
from petseg.rendering.render import render
from petseg.training.history import Epoch, write_history

_RECIPE = "mobilenet pets128"


def whole_stage(params: Params, data: Data, model: Path, scratch: Path) -> Prepared:
    folder = Path(tempfile.mkdtemp(prefix="render-", dir=scratch))
    paths = replace(PipelinePaths.under(folder), shards=data.shards_dir, model=model)
    evaluate(params.evaluate, paths)
    write_history([Epoch(*range(1, 1 + len(fields(Epoch))))], paths.history)
    drawn = 2 * params.render.examples + params.render.best + params.render.worst
    num_read = len(pd.read_csv(paths.per_image))

    def measure() -> float:
        start = time.perf_counter()
        render(params.render, params.evaluate.tta, paths)
        return drawn / (time.perf_counter() - start)

    return Prepared(measure, {"drawn": drawn, "read": num_read})


def run(options: Options) -> Results:
    size = options.sizes[0]
    params = synthetic_params(
        _RECIPE, options.num_images, size, evaluate__tta__scales=[1], evaluate__tta__flip=False
    )
    data, model = prepare_data(params, options.scratch), save_untrained(params, options.scratch)
    rows = take_turns(
        [
            Contender(
                "bare forward pass",
                forward,
                {"params": params, "model": model, "seconds": options.seconds},
            ),
            Contender(
                "render stage",
                whole_stage,
                {"params": params, "data": data, "model": model, "scratch": options.scratch},
            ),
        ],
        "images/s",
        options.repetitions,
    )
    return Results("render", [Table(f"Rendering with `{_RECIPE}` at {size} px", rows)])
