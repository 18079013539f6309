"""Clone the project twice, run `make repro` in both, and compare every byte.

    python tests/soak/verify.py            as `make verify` does

The clones are in folders of different depth, one with a space in its name. The second run has one
core, another PYTHONHASHSEED, locale, time zone and umask, a home folder with settings for git,
Keras and matplotlib, and the leftovers of a killed run. All outs of dvc.yaml and dvc.lock are
compared. Exits with 1 if anything differs, or if `git status` isn't clean though the committed
results are of this kind of machine.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for support

from support.clones import Clone, hashes_of, outs_of, stages_of
from support.home import strange_home
from support.project import ROOT

_OTHER_WORLD = {
    "PYTHONHASHSEED": "4711",
    "LC_ALL": "C",
    "TZ": "Asia/Kathmandu",
    "TMPDIR": "tmp",
    "HOME": "home",
}
_HEAD_START = 60  # seconds until the second clone's first run is killed


def clone_of(root: Path, target: Path, env: dict[str, str]) -> Clone:
    """Clone what is committed."""
    command = ["git", "clone", "--quiet", "--no-hardlinks", str(root), str(target)]
    subprocess.run(command, check=True, env=os.environ | env)
    return Clone(target)


def run(clone: Clone, title: str, env: dict[str, str]) -> None:
    start = time.monotonic()
    clone.run("make", "-o", "setup", "repro", env=env)  # with the packages of this environment
    print(f"{title}: make repro, {time.monotonic() - start:.0f} s", flush=True)


def kill_early(clone: Clone, env: dict[str, str]) -> None:
    """Start a run and kill it: what it leaves behind must change nothing."""
    process = clone.start("make", "-o", "setup", "repro", env=env)
    try:
        process.wait(_HEAD_START)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    # DVC takes a process that the system hasn't cleared away yet for a running one.
    with suppress(ProcessLookupError):
        for _ in range(600):
            os.killpg(process.pid, 0)
            time.sleep(0.1)


def main() -> None:
    if subprocess.run(
        ["git", "status", "--porcelain"], cwd=ROOT, capture_output=True, check=True
    ).stdout:
        print("Uncommitted changes are not part of what is verified.")
    with tempfile.TemporaryDirectory(prefix="petseg-verify-") as folder:
        other = {
            **_OTHER_WORLD,
            "TMPDIR": str(Path(folder) / "tmp"),
            "HOME": str(Path(folder) / "home"),
        }
        for key in ("TMPDIR", "HOME"):
            Path(other[key]).mkdir()
        strange_home(Path(other["HOME"]))
        one = clone_of(ROOT, Path(folder) / "one", {})
        two = clone_of(ROOT, Path(folder) / "another folder" / "deeper" / "two", other)
        run(one, "one", {})
        os.umask(0o077)
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # one core for the rest
        kill_early(two, other)
        run(two, f"two, after a run killed at {_HEAD_START} s", other)
        sys.exit(not same(one, two))


def same(one: Clone, two: Clone) -> bool:
    """Compare two clones and print what differs. Return whether nothing does."""
    names = ["dvc.lock", *(out for stage in stages_of(one.path).values() for out in outs_of(stage))]
    first, second = hashes_of(one.path, names), hashes_of(two.path, names)
    different = [
        name for name in sorted(first.keys() | second.keys()) if first.get(name) != second.get(name)
    ]
    different += [f"{name} is missing in both" for name in names if not (one.path / name).exists()]
    for name in different:
        print(f"differs: {name}")
    size = sum((one.path / name).stat().st_size for name in first)
    print(f"{len(first)} files, {size / 1e6:.1f} MB, {len(different)} differ")
    for clone in (one, two):
        changed = clone.run("git", "status", "--porcelain")
        if changed:
            committed, current = committed_environment(clone), environment_of(clone)
            print(f"git status isn't clean in {clone.path.name}: the committed results are of")
            print(f"  {committed}\nand these of\n  {current}\n{changed}")
            if committed == current:
                different.append("git status")
    return not different


def environment_of(clone: Clone) -> str:
    return str(json.loads((clone.path / "metrics" / "train.json").read_text())["environment"])


def committed_environment(clone: Clone) -> str:
    return str(json.loads(clone.run("git", "show", "HEAD:metrics/train.json")).get("environment"))


if __name__ == "__main__":
    main()
