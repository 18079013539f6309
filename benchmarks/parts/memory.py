"""The peak memory of each stage, which must not grow with the number of images."""

import shutil
import sys

from benchmarks.commands import measure_peak
from benchmarks.contenders import Measurement
from benchmarks.options import Options
from benchmarks.results import Results, Table, Target
from support.clones import make_clone

_SIDE = 64  # pixels, of the images and of the network's input
_COUNTS = (1000, 10_000, 100_000)
_STAGES = ("download", "preprocess", "train", "evaluate", "render")
_WITH_TARGET = ("preprocess", "train")


def run(options: Options) -> Results:
    tables: list[Table] = []
    peaks: dict[str, list[int]] = {}
    for count in (count for count in _COUNTS if count <= options.max_images):
        folder = options.scratch / "memory"
        shutil.rmtree(folder, ignore_errors=True)
        clone = make_clone(folder)
        clone.set_params(
            dataset__synthetic_pets__trainval=count * 9 // 10,
            dataset__synthetic_pets__test=count // 10,
            dataset__synthetic_pets__size=_SIDE,
            preprocess__image_size=_SIDE,
            train__epochs=1,
            train__batch_size=64,
            train__shuffle_buffer=_COUNTS[0] // 2,
        )
        rows = []
        for stage in _STAGES:
            seconds, peak = measure_peak([sys.executable, f"stages/{stage}.py"], clone.path)
            rows.append(
                Measurement(stage, "MiB", [float(peak)], float(peak), {"images/s": count / seconds})
            )
            print(f"{count:,} images, {stage}: {peak} MiB, {seconds:.0f} s", flush=True)
            peaks.setdefault(stage, []).append(peak)
        tables.append(Table(f"Peak memory, {count:,} images of {_SIDE} px", rows))
        shutil.rmtree(folder)
    targets = [
        Target(
            f"peak memory of {stage}, most images relative to fewest",
            [peaks[stage][-1] / peaks[stage][0]],
            1.1,
            at_least=False,
        )
        for stage in _WITH_TARGET
        if len(tables) > 1  # a single data set shows no growth
    ]
    return Results("memory", tables, targets)
