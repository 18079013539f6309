"""The whole stage render against the bare forward pass: how many pictures it shows a second."""

import tempfile
import time
from dataclasses import fields, replace
from pathlib import Path

import pandas as pd

from benchmarks.contenders import Contender, Ready, take_turns
from benchmarks.findings import Outcome, Table
from benchmarks.options import Options
from benchmarks.parts.evaluate import forward
from benchmarks.workspace import Data, drawn_params, prepare, save_untrained
from petseg.config.params import Params
from petseg.config.paths import PipelinePaths
from petseg.evaluation.evaluate import evaluate
from petseg.rendering.render import render
from petseg.training.history import Epoch, write_history


def whole_stage(params: Params, data: Data, model: Path, scratch: Path) -> Ready:
    folder = Path(tempfile.mkdtemp(prefix="render-", dir=scratch))
    paths = replace(PipelinePaths.under(folder), shards=data.records, model=model)
    evaluate(params.evaluate, paths)
    write_history([Epoch(*range(1, 1 + len(fields(Epoch))))], paths.history)
    shown = (
        2 * params.render.examples + params.render.best + params.render.worst
    )  # an example has two sheets
    read = len(pd.read_csv(paths.per_image))

    def once() -> float:
        start = time.perf_counter()
        render(params.render, params.evaluate.tta, paths)
        return shown / (time.perf_counter() - start)

    return Ready(once, {"shown": shown, "read": read})


def run(options: Options) -> Outcome:
    size = options.sizes[0]
    params = drawn_params(
        "default", options.pictures, size, evaluate__tta__scales=[1], evaluate__tta__flip=False
    )
    data, model = prepare(params, options.scratch), save_untrained(params, options.scratch)
    rows = take_turns(
        [
            Contender(
                "bare forward pass",
                forward,
                {"params": params, "model": model, "seconds": options.seconds},
            ),
            Contender(
                "stage render, photo, truth, prediction and errors of each",
                whole_stage,
                {"params": params, "data": data, "model": model, "scratch": options.scratch},
            ),
        ],
        "pictures/s",
        options.repetitions,
    )
    return Outcome("render", [Table(f"Rendering with `default` at {size} px", rows)])
