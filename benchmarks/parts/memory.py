"""The most memory that each stage holds, by the number of pictures: it must not grow with them."""

import shutil
import sys

from benchmarks.commands import peak_of
from benchmarks.contenders import Measured
from benchmarks.findings import Outcome, Table, Target
from benchmarks.options import Options
from support.clones import make_clone

_SIDE = 64  # pixels of the drawn pictures and of the network
_COUNTS = (1000, 10_000, 100_000)
_STAGES = ("download", "preprocess", "train", "evaluate", "render")
_JUDGED = ("preprocess", "train")


def run(options: Options) -> Outcome:
    tables: list[Table] = []
    peaks: dict[str, list[int]] = {}
    for count in (count for count in _COUNTS if count <= options.most):
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
            seconds, peak = peak_of([sys.executable, f"stages/{stage}.py"], clone.path)
            rows.append(
                Measured(stage, "MiB", [float(peak)], float(peak), {"pictures/s": count / seconds})
            )
            print(f"{count:,} pictures, {stage}: {peak} MiB, {seconds:.0f} s", flush=True)
            peaks.setdefault(stage, []).append(peak)
        tables.append(Table(f"Peak memory, {count:,} pictures of {_SIDE} px", rows))
        shutil.rmtree(folder)
    targets = [
        Target(
            f"peak memory of {stage}, most pictures to fewest",
            [peaks[stage][-1] / peaks[stage][0]],
            1.1,
            at_least=False,
        )
        for stage in _JUDGED
        if len(tables) > 1  # one set alone tells nothing
    ]
    return Outcome("memory", tables, targets)
