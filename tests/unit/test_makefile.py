"""What `make repro` says about git, with stubs for Python and DVC."""

import os
import shutil
import subprocess

import pytest

from support.project import ROOT


@pytest.fixture
def folder(tmp_path):
    """A folder with the Makefile, results, and commands that do nothing."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in ("dvc.lock", "plots/curves.png", "plots/masks/cat.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("the author's")
    for name in ("python", "dvc"):
        command = tmp_path / ".venv" / "bin" / name
        command.parent.mkdir(parents=True, exist_ok=True)
        command.write_text("#!/bin/sh\n")
        command.chmod(0o755)
    return tmp_path


def repro(folder):
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    environment["GIT_CEILING_DIRECTORIES"] = str(folder.parent)
    return subprocess.run(
        ["make", "-o", "setup", "repro"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )


def git(folder, *words):
    author = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run(["git", *author, *words], cwd=folder, check=True)


def test_a_downloaded_archive_is_refused_with_what_to_do(folder):
    done = repro(folder)
    assert done.returncode != 0
    assert done.stdout == (
        f"{folder} is not a git repository, which DVC needs; use git clone instead of Download ZIP.\n"
    )


def test_results_that_differ_from_the_commit_are_said_with_what_to_commit(folder):
    git(folder, "init", "--quiet")
    git(folder, "add", "dvc.lock")
    git(folder, "commit", "--quiet", "--message", "the author's")
    assert "git commit" not in repro(folder).stdout
    (folder / "dvc.lock").write_text("this machine's")
    done = repro(folder)
    assert done.returncode == 0, done.stderr
    assert "git add params.yaml dvc.lock metrics plots/*.csv && git commit" in done.stdout
