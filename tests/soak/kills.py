"""Kill the pipeline's stages at random moments, let them go on, and compare every byte with an undisturbed run.

    python tests/soak/kills.py --kills 40 --seed 0

Works on tiny parameters in a temporary clone. For each kill the stage's outs, its entry in dvc.lock and DVC's whole
cache are taken away, `dvc repro STAGE` is started and ended in one of the ways below, at a random moment of the time
that the stage takes (for train every second time shortly after a random step), and `dvc repro STAGE` is run again. Its
outs and its entry in dvc.lock must be those of the undisturbed run, and a training must have gone on from the newest
checkpoint that was whole. Prints a table in Markdown, and exits with 1 if a byte differs or a step was lost.

What a power cut does to DVC's own files (its cache, .dvc/tmp, dvc.lock) is not played here: see docs/robustness.md.
"""

import argparse
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import yaml

from support.clones import hashes_of, make_clone, outs_of, stages_of

WAYS = {
    "kill -9": "DVC and the stage at once",
    "kill -9 the stage": "DVC lives and tells of it",
    "kill -9 DVC": "the stage lives on as an orphan; the second run has to wait for it",
    "SIGINT": "as Ctrl-C does",
    "SIGTERM": "as a batch system does",
    "power cut": "kill -9, then newest checkpoint, half-written files and the stage's outs are torn at random bytes",
}
_WEIGHTS = {"train": 2}  # the stage that takes longest is killed so many times as often
EPOCHS, STEPS = 8, 3  # of the tiny training; a checkpoint after each step
_BUSY = "Another process is running a stage"
_TORN_LOCK = "Unable to read RWLock-file"
_PATIENCE = 300  # seconds until an orphan must have ended


@dataclass(frozen=True)
class Kill:
    """One kill: what was done, and what came of it."""

    stage: str
    way: str
    after: float  # seconds
    ended_before: bool  # the stage was faster than the kill
    steps_kept: int  # in the newest checkpoint that the kill left whole
    went_on_after: int  # steps
    different: tuple[str, ...]

    @property
    def lost(self) -> bool:
        """Whether steps that were kept had to be made again."""
        return self.went_on_after < self.steps_kept


class Harness:
    """A clone with an undisturbed run to compare with."""

    def __init__(self, folder: Path) -> None:
        self.clone = make_clone(folder)
        self.clone.set_params(train__epochs=EPOCHS, train__checkpoint_steps=1, train__ema_decay=0.9)
        self.stages = stages_of(folder)
        self.seconds: dict[str, float] = {}
        for stage in self.stages:
            start = time.monotonic()
            self.clone.run("dvc", "repro", stage)
            self.seconds[stage] = time.monotonic() - start
        self.clone.commit("the undisturbed run")
        self.expected = {stage: self._hashes(stage) for stage in self.stages}
        self.lock = self._lock()

    def kill(
        self,
        stage: str,
        way: str,
        rng: random.Random,
        step: int | None = None,
        finished: bool = False,
    ) -> Kill:
        """Kill at a random moment of the stage's time, or shortly after a step, or once the training is finished."""
        self._take_away(stage)
        start = time.monotonic()
        process = self.clone.start("dvc", "repro", stage)
        moment = rng.uniform(0, self.seconds[stage])
        while process.poll() is None:
            if finished and any(self.clone.path.glob(".backup/*/finished")):
                break
            if step and self._steps_done() >= step:
                time.sleep(rng.uniform(0, 0.3))
                break
            if not finished and not step and time.monotonic() - start >= moment:
                break
            time.sleep(0.005)
        after, ended = time.monotonic() - start, process.poll() is not None
        _end(process.pid, way)
        if way == "kill -9 DVC":
            process.wait()  # but an orphan holds the pipe open
        else:
            process.communicate()
        ended = ended or process.returncode == 0
        if way == "power cut":
            self._tear(stage, rng)
        kept = self._steps_done(0 if way != "power cut" else 1)
        output = self._again(stage)
        different = self.differences(stage)
        if self._lock()[stage] != self.lock[stage]:
            different.append("dvc.lock")
        return Kill(stage, way, after, ended, kept, _steps_in(output), tuple(different))

    def finish(self) -> list[str]:
        """Run all stages once more: what differs from the undisturbed run, or is left over."""
        self.clone.run("dvc", "repro")
        wrong = [] if self._lock() == self.lock else ["dvc.lock"]
        self.clone.run(
            "git", "checkout", "--quiet", "dvc.lock"
        )  # its stages stand in the order of the kills
        wrong += self.clone.run("git", "status", "--porcelain").splitlines()
        for stage in self.stages:
            wrong += self.differences(stage)
        return wrong + [str(path) for path in self.clone.path.glob(".backup/*/*")]

    def differences(self, stage: str) -> list[str]:
        """The stage's files that are not those of the undisturbed run."""
        now, expected = self._hashes(stage), self.expected[stage]
        return [
            name
            for name in sorted(now.keys() | expected.keys())
            if now.get(name) != expected.get(name)
        ]

    def _again(self, stage: str) -> str:
        """`dvc repro` as the user types it after a kill, again if an orphan is still at work or DVC's lock is torn."""
        deadline = time.monotonic() + _PATIENCE
        while True:
            process = self.clone.start("dvc", "repro", stage)
            output, _ = process.communicate()
            if process.returncode == 0:
                return output
            if (
                _TORN_LOCK in output
            ):  # killed while DVC wrote it: what docs/robustness.md tells to do
                (self.clone.path / ".dvc" / "tmp" / "rwlock").unlink()
            elif _BUSY not in output or time.monotonic() > deadline:
                raise SystemExit(f"dvc repro {stage} didn't go on after a kill:\n{output}")
            time.sleep(1)

    def _take_away(self, stage: str) -> None:
        for name in outs_of(self.stages[stage]):
            path = self.clone.path / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        for cache in ("cache", "tmp"):
            shutil.rmtree(self.clone.path / ".dvc" / cache, ignore_errors=True)
        shutil.rmtree(self.clone.path / ".backup", ignore_errors=True)
        lock = yaml.safe_load((self.clone.path / "dvc.lock").read_text())
        lock["stages"].pop(stage, None)
        (self.clone.path / "dvc.lock").write_text(yaml.safe_dump(lock, sort_keys=False))

    def _steps_done(self, torn: int = 0) -> int:
        """The training steps in the newest checkpoint but so many."""
        names = sorted(path.stem for path in self.clone.path.glob(".backup/*/*.checkpoint"))
        epochs, steps = map(int, ["0-0", *names][max(-1 - torn, -1 - len(names))].split("-"))
        return epochs * STEPS + steps

    def _tear(self, stage: str, rng: random.Random) -> None:
        """What a power cut can leave of files that were just written: a part of them, or zeros."""
        root = self.clone.path
        torn = [path for path in root.rglob(".*.partial/**/*") if path.is_file()]
        torn += [path for path in root.rglob(".*.partial") if path.is_file()]
        torn += [root / name for name in hashes_of(root, outs_of(self.stages[stage]))]
        torn += sorted(root.glob(".backup/*/*.checkpoint"))[-1:]
        for path in torn:
            data = path.read_bytes()
            kept = rng.randrange(len(data) + 1)
            path.unlink()  # DVC may have linked or protected it
            path.write_bytes(data[:kept] + bytes(len(data) - kept if rng.random() < 0.3 else 0))

    def _hashes(self, stage: str) -> dict[str, str]:
        return hashes_of(self.clone.path, outs_of(self.stages[stage]))

    def _lock(self) -> dict[str, Any]:
        return dict(yaml.safe_load((self.clone.path / "dvc.lock").read_text())["stages"])


def _steps_in(output: str) -> int:
    """After how many training steps a run says that it goes on, 0 if it doesn't."""
    told = re.search(r"Going on after (\d+) epochs(?: and (\d+) steps)? of", output)
    return int(told[1]) * STEPS + int(told[2] or 0) if told else 0


def _end(pid: int, way: str) -> None:
    """End DVC, whose process leads its group, or the stage, or both."""
    try:
        if way == "kill -9 DVC":
            os.kill(pid, signal.SIGKILL)
        elif way == "kill -9 the stage":
            for child in psutil.Process(pid).children(recursive=True):
                child.kill()
            time.sleep(0.1)
        else:
            os.killpg(
                pid, {"SIGINT": signal.SIGINT, "SIGTERM": signal.SIGTERM}.get(way, signal.SIGKILL)
            )
    except (ProcessLookupError, psutil.NoSuchProcess):
        pass  # it ended in this very moment


def plan(kills: int, stages: list[str], rng: random.Random) -> list[tuple[str, str]]:
    """So many (stage, way), every stage and every way as evenly as it goes, in random order."""
    turns = [stage for stage in stages for _ in range(_WEIGHTS.get(stage, 1))]
    ways = list(WAYS)
    chosen = []
    counts: Counter[str] = Counter()
    for number in range(kills):
        stage = turns[number % len(turns)]
        chosen.append((stage, ways[(counts[stage] + stages.index(stage)) % len(ways)]))
        counts[stage] += 1
    rng.shuffle(chosen)
    return chosen


def table(done: list[Kill]) -> str:
    """A row per stage in Markdown."""
    titles = ["stage", "kills", "moments (s)", "went on from a checkpoint", *WAYS, "different"]
    lines = [f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"]
    for stage in dict.fromkeys(kill.stage for kill in done):
        rows = [kill for kill in done if kill.stage == stage]
        ways = Counter(kill.way for kill in rows)
        cells = [
            stage,
            len(rows),
            f"{min(k.after for k in rows):.1f} to {max(k.after for k in rows):.1f}",
            sum(kill.went_on_after > 0 for kill in rows),
            *(ways[way] for way in WAYS),
            sum(bool(kill.different) for kill in rows),
        ]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    with tempfile.TemporaryDirectory(prefix="petseg-kills-") as folder:
        harness = Harness(Path(folder) / "petseg")
        print(
            "undisturbed:",
            {stage: round(seconds, 1) for stage, seconds in harness.seconds.items()},
            flush=True,
        )
        done: list[Kill] = []
        trainings = 0
        for number, (stage, way) in enumerate(plan(options.kills, list(harness.stages), rng), 1):
            # Most of so short a training's time is its start: every second kill of it comes after a step instead.
            trainings += stage == "train"
            step = rng.randrange(1, EPOCHS * STEPS) if stage == "train" and trainings % 2 else None
            done.append(harness.kill(stage, way, rng, step))
            while done[-1].ended_before:  # it doesn't count
                print("too late:", done.pop(), flush=True)
                done.append(harness.kill(stage, way, rng, step))
            print(f"{number}/{options.kills}", done[-1], flush=True)
        wrong = harness.finish()
    print(f"\n{len(done)} kills, seed {options.seed}\n\n{table(done)}\n")
    lost = [kill for kill in done if kill.lost]
    print(
        "In the end everything is as in the undisturbed run."
        if not wrong
        else f"In the end: {wrong}"
    )
    print(f"Trainings that lost steps they had kept: {lost or 'none'}.")
    sys.exit(bool(wrong or lost) or any(kill.different for kill in done))


if __name__ == "__main__":
    main()
