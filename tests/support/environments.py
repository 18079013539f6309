"""Python interpreters, and virtual environments made with them."""

import os
import subprocess
from pathlib import Path


class Environment:
    """A new virtual environment with packages from the index."""

    def __init__(self, path: Path, python: Path, *packages: str) -> None:
        self.path = path
        subprocess.run([python, "-m", "venv", path], check=True)
        quiet = ("--quiet", "--disable-pip-version-check")
        self.python("-m", "pip", "install", *quiet, *packages)

    def python(self, *arguments: str) -> str:
        """Run its Python and return what it printed."""
        command = [str(self.path / "bin" / "python"), *arguments]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()

    def packages(self) -> set[str]:
        """Return the installed packages with their versions."""
        return set(self.python("-m", "pip", "freeze", "--all").splitlines())


def find_python(version: str) -> Path | None:
    """Return an interpreter such as "3.13" on the PATH or among pyenv's, or None."""
    folders = [Path(folder) for folder in os.environ["PATH"].split(os.pathsep)]
    folders += [path / "bin" for path in sorted(Path.home().glob(f".pyenv/versions/{version}*"))]
    pythons = (folder / f"python{version}" for folder in folders)
    return next((python for python in pythons if python.is_file() and _starts(python)), None)


def _starts(python: Path) -> bool:
    """Whether it starts: a shim of pyenv doesn't, unless its version is selected."""
    return subprocess.run([python, "-c", ""], capture_output=True).returncode == 0
