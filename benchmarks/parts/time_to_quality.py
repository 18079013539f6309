"""Minutes until validation reaches what the tutorial's recipe has after its 20 epochs, on the same real pictures.

Both are whole commands, start-up and validation included. They go on in turns, an epoch each, while the others stand
still, so that the machine's moods hit all alike.
"""

import math
import re
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from benchmarks.commands import Halting, run_command
from benchmarks.contenders import Measured
from benchmarks.findings import Outcome, Table, Target
from benchmarks.options import Options
from benchmarks.workspace import recipe_params
from petseg.config.params import Params
from support.clones import make_clone

_EPOCHS = 20  # of the tutorial
_OURS = "quick"  # the recipe that goes for speed
_SCORE = re.compile(r"val mean IoU (\d\.\d+)")


@dataclass
class Course:
    """A training as it goes: after each epoch, minutes and validation mean IoU."""

    run: Halting
    points: list[tuple[float, float]] = field(default_factory=list)

    def one_epoch(self) -> bool:
        """Whether there was one more."""
        while line := self.run.next_line():
            if found := _SCORE.search(line):
                self.points.append((self.run.seconds / 60, float(found[1])))
                print(f"  {self.points[-1][0]:.1f} min  {line.strip()}", flush=True)
                return True
        return False

    def minutes_to(self, score: float) -> float:
        """Infinite if it never gets there."""
        return next((minutes for minutes, reached in self.points if reached >= score), float("inf"))


def run(options: Options) -> Outcome:
    assert options.photos
    assert options.weights
    real = {
        "dataset__name": "folder",
        "dataset__folder__path": str(options.photos),
        "model__weights": str(options.weights),
    }
    params = recipe_params(_OURS, **real)
    tutorial = [
        sys.executable, "-m", "benchmarks.tutorial", "--weights", str(options.weights), "--epochs", str(_EPOCHS),
        "--val-fraction", str(params.preprocess.val_fraction), "--seed", str(params.seed),
    ]  # fmt: skip
    courses = {
        "the tutorial's recipe": Course(Halting(tutorial, _folder(options, "tutorial", params))),
        f"`{_OURS}`": Course(
            Halting([sys.executable, "stages/train.py"], _folder(options, _OURS, params))
        ),
    }
    try:
        going = list(courses)
        while going:
            going = [name for name in going if courses[name].one_epoch()]
    finally:
        for course in courses.values():
            course.run.end()
    peer, ours = courses.values()
    end_minutes, end = peer.points[-1]
    best = max(score for _, score in peer.points)
    rows = [
        Measured(
            name, "minutes in all", [course.points[-1][0]], course.points[-1][0],
            {
                "epochs": len(course.points),
                "validation mean IoU at the end": f"{course.points[-1][1]:.4f}",
                "minutes to the tutorial's end": _told(course.minutes_to(end)),
                "minutes to its best": _told(course.minutes_to(best)),
            },
        )
        for name, course in courses.items()
    ]  # fmt: skip
    targets = [
        Target(
            "the tutorial's time to ours until its quality", [end_minutes / ours.minutes_to(end)], 5
        ),
        Target(
            "validation mean IoU at the end, ours less the tutorial's",
            [ours.points[-1][1] - end],
            0,
        ),
    ]
    return Outcome(
        "time_to_quality", [Table(f"{options.photos.name}, encoder from ImageNet", rows)], targets
    )


def _told(minutes: float) -> str:
    return f"{minutes:.1f}" if math.isfinite(minutes) else "never"


def _folder(options: Options, name: str, params: Params) -> Path:
    """A clone with these parameters, its pictures prepared."""
    folder = options.scratch / f"quality-{name}"
    shutil.rmtree(folder, ignore_errors=True)
    clone = make_clone(folder)
    (folder / "params.yaml").write_text(
        yaml.safe_dump(params.model_dump(mode="json")), encoding="utf-8"
    )
    for stage in ("download", "preprocess"):
        run_command([sys.executable, f"stages/{stage}.py"], clone.path)
    return folder
