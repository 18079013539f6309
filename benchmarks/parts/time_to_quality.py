"""Minutes of training until validation reaches the tutorial's quality, on the same real images.

Both recipes run as whole commands, with start-up and validation. They take turns, one epoch each
while the other is paused, so that changes in the machine's speed affect both alike.
"""

import math
import re
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from benchmarks.commands import PausedCommand, run_command
from benchmarks.contenders import Measurement
from benchmarks.options import Options
from benchmarks.results import Results, Table, Target
from benchmarks.workspace import recipe_params
from petseg.config.params import Params
from support.clones import make_clone

_EPOCHS = 20  # of the tutorial
_OUR_RECIPE = "quick"
_VAL_MEAN_IOU = re.compile(r"val mean IoU (\d\.\d+)")


@dataclass
class TrainingRun:
    """A training run in progress, with minutes and validation mean IoU after each epoch."""

    command: PausedCommand
    epochs: list[tuple[float, float]] = field(default_factory=list)

    def run_epoch(self) -> bool:
        """Run one more epoch; return False if training has ended."""
        while line := self.command.next_line():
            if found := _VAL_MEAN_IOU.search(line):
                self.epochs.append((self.command.seconds / 60, float(found[1])))
                print(f"  {self.epochs[-1][0]:.1f} min  {line.strip()}", flush=True)
                return True
        return False

    def minutes_to(self, mean_iou: float) -> float:
        """Return the minutes until an epoch reaches this mean IoU, or infinity."""
        return next((minutes for minutes, reached in self.epochs if reached >= mean_iou), math.inf)


def run(options: Options) -> Results:
    assert options.photos
    assert options.weights
    params = recipe_params(
        _OUR_RECIPE,
        dataset__name="folder",
        dataset__folder__path=str(options.photos),
        model__weights=str(options.weights),
    )
    val_fraction, seed = params.preprocess.val_fraction, params.seed
    tutorial = [sys.executable, "-m", "benchmarks.tutorial", "--weights", str(options.weights)]
    tutorial += ["--epochs", str(_EPOCHS), "--val-fraction", str(val_fraction), "--seed", str(seed)]
    ours = [sys.executable, "stages/train.py"]
    runs = {
        "tutorial": TrainingRun(PausedCommand(tutorial, _prepare(options, "tutorial", params))),
        f"`{_OUR_RECIPE}`": TrainingRun(PausedCommand(ours, _prepare(options, "ours", params))),
    }
    run_in_turns(list(runs.values()))
    return summarize(runs, options.photos.name)


def run_in_turns(runs: list[TrainingRun]) -> None:
    """Run one epoch of each training run in turn, until all have ended."""
    try:
        active = runs
        while active:
            active = [run for run in active if run.run_epoch()]
    finally:
        for run in runs:
            run.command.kill()


def summarize(runs: dict[str, TrainingRun], data_name: str) -> Results:
    """Compare the peer's run, which comes first, with ours."""
    peer, ours = runs.values()
    peer_minutes, peer_iou = peer.epochs[-1]
    peer_best = max(mean_iou for _, mean_iou in peer.epochs)
    rows = []
    for name, run in runs.items():
        minutes, mean_iou = run.epochs[-1]
        details: dict[str, float | int | str] = {
            "epochs": len(run.epochs),
            "final validation mean IoU": f"{mean_iou:.4f}",
            "minutes to the tutorial's final": _format(run.minutes_to(peer_iou)),
            "minutes to the tutorial's best": _format(run.minutes_to(peer_best)),
        }
        rows.append(Measurement(name, "total minutes", [minutes], minutes, details))
    targets = [
        Target(
            "the tutorial's time relative to ours until its final quality",
            [peer_minutes / ours.minutes_to(peer_iou)],
            5,
        ),
        Target(
            "final validation mean IoU, ours minus the tutorial's",
            [ours.epochs[-1][1] - peer_iou],
            0,
        ),
    ]
    table = Table(f"{data_name}, encoder from ImageNet", rows)
    return Results("time_to_quality", [table], targets)


def _format(minutes: float) -> str:
    return f"{minutes:.1f}" if math.isfinite(minutes) else "never"


def _prepare(options: Options, name: str, params: Params) -> Path:
    """Clone the project, write these parameters and run the stages before training."""
    folder = options.scratch / f"quality-{name}"
    shutil.rmtree(folder, ignore_errors=True)
    clone = make_clone(folder)
    (folder / "params.yaml").write_text(
        yaml.safe_dump(params.model_dump(mode="json")), encoding="utf-8"
    )
    for stage in ("download", "preprocess"):
        run_command([sys.executable, f"stages/{stage}.py"], clone.path)
    return folder
