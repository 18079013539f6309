"""Temporary git clones of the project, in which commands run as a user would run them."""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from support.project import ROOT, TINY, with_values


class Clone:
    """A clone in a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def start(self, *command: str, env: dict[str, str] | None = None) -> "subprocess.Popen[str]":
        """Start a command in its own process group, as a shell does, with its output in a pipe."""
        bin_dir = str(Path(sys.executable).parent)
        environment = {k: v for k, v in os.environ.items() if k not in ("DVC_ROOT", "PYTHONPATH")}
        environment |= {"PATH": f"{bin_dir}{os.pathsep}{os.environ['PATH']}", **(env or {})}
        return subprocess.Popen(
            command,
            cwd=self.path,
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=_heed_interrupts,
        )

    def run(self, *command: str, ok: bool = True, env: dict[str, str] | None = None) -> str:
        """Run a command and return its output; `ok` says whether it must succeed or fail."""
        process = self.start(*command, env=env)
        output, _ = process.communicate()
        assert (process.returncode == 0) == ok, (
            f"{' '.join(command)} gave {process.returncode}:\n{output}"
        )
        return output

    def set_params(self, **values: Any) -> None:
        """Change params.yaml by hand; dots are written as double underscores."""
        path = self.path / "params.yaml"
        raw = yaml.safe_load(path.read_text())
        path.write_text(
            yaml.safe_dump(with_values(raw, {k.replace("__", "."): v for k, v in values.items()}))
        )

    def commit(self, message: str) -> None:
        self.run("git", "add", "--all")
        self.run("git", "commit", "--quiet", "--allow-empty", "--message", message)


def make_clone(path: Path) -> Clone:
    """Copy the files that git would commit into a new repository, with tiny parameters."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT, check=True, stdout=subprocess.PIPE,
    )  # fmt: skip
    for name in listed.stdout.decode().split("\0"):
        source = ROOT / name
        if name and source.is_file():
            target = path / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())
            target.chmod(source.stat().st_mode)
    clone = Clone(path)
    clone.run("git", "init", "--quiet", "--initial-branch", "main")
    for key, value in (("user.name", "Test"), ("user.email", "test@example.org")):
        clone.run("git", "config", key, value)
    (path / "dvc.lock").unlink(missing_ok=True)
    clone.set_params(**{key.replace(".", "__"): value for key, value in TINY.items()})
    clone.commit("start")
    return clone


def _heed_interrupts() -> None:
    """Undo that a shell starts background jobs with SIGINT ignored, which children inherit."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def hashes_of(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """Return the sha256 of each file, and of each file in each folder, by path in `folder`."""
    files: list[Path] = []
    for name in names:
        path = folder / name
        files += (
            [item for item in sorted(path.rglob("*")) if item.is_file()]
            if path.is_dir()
            else [path]
        )
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in files
        if file.is_file()
    }


def outs_of(stage: dict[str, Any]) -> list[str]:
    """Return all that a stage of dvc.yaml writes."""
    entries = [entry for kind in ("outs", "metrics", "plots") for entry in stage.get(kind, [])]
    return [entry if isinstance(entry, str) else next(iter(entry)) for entry in entries]


def stages_of(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the stages of a checkout's dvc.yaml, in order."""
    return dict(yaml.safe_load((folder / "dvc.yaml").read_text(encoding="utf-8"))["stages"])


def copy_clone(clone: Clone, target: Path) -> Clone:
    """Copy a clone with all that DVC and git know of it."""
    return Clone(Path(shutil.copytree(clone.path, target, symlinks=True)))
