"""Kill stages of the pipeline in a clone, run them again, and compare every byte."""

import json
import os
import random
import re
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psutil
import yaml

from support.clones import Clone, hashes_of, outs_of, stages_of

WAYS = {
    "kill -9": "DVC and the stage at once",
    "kill -9 the stage": "DVC lives and reports it",
    "kill -9 DVC": "the stage lives on as an orphan; the second run has to wait for it",
    "SIGINT": "like Ctrl-C",
    "SIGTERM": "like a batch system",
    "power cut": "kill -9, then tear the newest checkpoint, half-written files and outs",
}
SETTINGS = {"train__checkpoint_every_steps": 1, "train__ema_decay": 0.9}
"""Parameters of a run to kill: a checkpoint after each step."""
STEPS = 3  # in an epoch of the tiny training
_BUSY = "Another process is running a stage"
_TORN_RWLOCK = "Unable to read RWLock-file"
_TORN_DVC_LOCK = re.compile(r"dvc\.lock' (is invalid|validation failed)")
_PATIENCE = 300  # seconds until an orphan must have ended

Due = Callable[[], bool]


@dataclass(frozen=True)
class Kill:
    """One kill, and what came of it."""

    stage: str
    way: str
    after: float  # seconds
    ended_before: bool  # the stage was faster than the kill
    steps_kept: int  # in the newest checkpoint that the kill left whole
    resumed_after: int  # steps
    different: tuple[str, ...]

    @property
    def lost(self) -> bool:
        """Whether the training repeated steps that a checkpoint held."""
        return self.resumed_after < self.steps_kept


class Harness:
    """A clone whose run is complete and committed, to compare with."""

    def __init__(self, clone: Clone) -> None:
        self.clone = clone
        self.stages = stages_of(clone.path)
        self.expected = {stage: self._hashes(stage) for stage in self.stages}
        self.lock = self._lock()

    def kill(self, stage: str, way: str, rng: random.Random, due: Due) -> Kill:
        """Run a stage without its outs, kill it once `due` returns true, and run it again."""
        self._take_away(stage)
        start = time.monotonic()
        process = self.clone.start("dvc", "repro", stage)
        while process.poll() is None and not due():
            time.sleep(0.005)
        after, ended = time.monotonic() - start, process.poll() is not None
        _end(process.pid, way)
        if way == "kill -9 DVC":
            process.wait()  # an orphan holds the pipe open
        else:
            process.communicate()
        ended = ended or process.returncode == 0
        if way == "power cut":
            self._tear(stage, rng)
        kept = self.steps_done(torn=int(way == "power cut"))
        output = self._run_again(stage)
        different = self.differences(stage)
        if self._lock()[stage] != self.lock[stage]:
            different.append("dvc.lock")
        return Kill(stage, way, after, ended, kept, _steps_in(output), tuple(different))

    def at(self, seconds: float) -> Due:
        """Due once so many seconds have passed."""
        moment = time.monotonic() + seconds
        return lambda: time.monotonic() >= moment

    def after_step(self, step: int, rng: random.Random) -> Due:
        """Due shortly after a step of the training."""

        def due() -> bool:
            if self.steps_done() < step:
                return False
            time.sleep(rng.uniform(0, 0.3))
            return True

        return due

    def finished(self) -> bool:
        """Due once the training is finished and has written its model."""
        return any(self.clone.path.glob(".backup/*/finished"))

    def writing(self) -> bool:
        """Due while a stage writes an out."""
        return any(
            path.name.endswith(".partial")
            for folder in ("data", "models", "plots", "reports")
            for path in (self.clone.path / folder).glob(".*")
        )

    def finish(self) -> list[str]:
        """Run all stages again. Return what differs from the undisturbed run or is left over."""
        self.clone.run("dvc", "repro")
        wrong = [] if self._lock() == self.lock else ["dvc.lock"]
        self.clone.run("git", "checkout", "--quiet", "dvc.lock")  # the kills changed its order
        wrong += self.clone.run("git", "status", "--porcelain").splitlines()
        for stage in self.stages:
            wrong += self.differences(stage)
        trainings = [path for path in self.clone.path.glob(".backup/*") if path.is_dir()]
        return wrong + [str(path) for path in trainings if not (path / "finished").exists()]

    def differences(self, stage: str) -> list[str]:
        """Return the stage's files that differ from those of the undisturbed run."""
        now, expected = self._hashes(stage), self.expected[stage]
        names = sorted(now.keys() | expected.keys())
        return [name for name in names if now.get(name) != expected.get(name)]

    def steps_done(self, torn: int = 0) -> int:
        """Return the training steps in the newest checkpoint, leaving out the last `torn` ones."""
        names = sorted(path.stem for path in self.clone.path.glob(".backup/*/*.checkpoint"))
        epochs, steps = map(int, ["0-0", *names][max(-1 - torn, -1 - len(names))].split("-"))
        return epochs * STEPS + steps

    def _run_again(self, stage: str) -> str:
        """Run `dvc repro` after a kill, until no orphan is running and DVC's locks are whole."""
        deadline = time.monotonic() + _PATIENCE
        while True:
            process = self.clone.start("dvc", "repro", stage)
            output, _ = process.communicate()
            if process.returncode == 0:
                return output
            if _TORN_RWLOCK in output:  # killed while DVC wrote it: see docs/robustness.md
                (self.clone.path / ".dvc" / "tmp" / "rwlock").unlink()
            elif _TORN_DVC_LOCK.search(output):  # killed while DVC wrote that
                self.clone.run("git", "checkout", "--quiet", "dvc.lock")
            elif _BUSY not in output or time.monotonic() > deadline:
                raise SystemExit(f"dvc repro {stage} did not resume after a kill:\n{output}")
            time.sleep(1)

    def _take_away(self, stage: str) -> None:
        """Delete the stage's outs, here and in DVC's cache, its entry in dvc.lock, and past runs.

        The other stages' outs stay in the cache: DVC would run those stages again.
        """
        root = self.clone.path
        for name in outs_of(self.stages[stage]):
            path = root / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        for name in (".dvc/cache/runs", ".dvc/tmp", ".backup"):
            shutil.rmtree(root / name, ignore_errors=True)
        lock = yaml.safe_load((root / "dvc.lock").read_text())
        entry = lock["stages"].pop(stage, {})
        for out in entry.get("outs", []):
            self._delete_cached(out["md5"])
        (root / "dvc.lock").write_text(yaml.safe_dump(lock, sort_keys=False))

    def _delete_cached(self, md5: str) -> None:
        path = self.clone.path / ".dvc" / "cache" / "files" / "md5" / md5[:2] / md5[2:]
        if path.is_file() and md5.endswith(".dir"):
            for file in json.loads(path.read_text()):
                self._delete_cached(file["md5"])
        path.unlink(missing_ok=True)

    def _tear(self, stage: str, rng: random.Random) -> None:
        """Leave of files that were just written what a power cut can leave: a part, or zeros."""
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
    """Return after how many training steps a run says that it resumes, 0 if it doesn't."""
    found = re.search(r"Resuming after epoch (\d+) of \d+(?:, step (\d+) of)?", output)
    if found is None:
        return 0
    epoch, step = int(found[1]), found[2]
    return epoch * STEPS if step is None else (epoch - 1) * STEPS + int(step)


def _end(pid: int, way: str) -> None:
    """End DVC, whose process leads its group, or the stage, or both."""
    signals = {"SIGINT": signal.SIGINT, "SIGTERM": signal.SIGTERM}
    try:
        if way == "kill -9 DVC":
            os.kill(pid, signal.SIGKILL)
        elif way == "kill -9 the stage":
            for child in psutil.Process(pid).children(recursive=True):
                child.kill()
            time.sleep(0.1)
        else:
            os.killpg(pid, signals.get(way, signal.SIGKILL))
    except (ProcessLookupError, psutil.NoSuchProcess):
        pass  # it has just ended
