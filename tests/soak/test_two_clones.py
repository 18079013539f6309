"""Two clones give the same bytes, and verify.py notices what differs."""

import json
import subprocess
import sys

import pytest
import yaml

from support.clones import Clone
from support.project import ROOT
from verify import same


def project(path, out, lock="lock"):
    """A repository with one stage and one out, as verify looks at it."""
    (path / "metrics").mkdir(parents=True)
    (path / "dvc.yaml").write_text(
        yaml.safe_dump({"stages": {"one": {"cmd": "true", "outs": ["out", "folder"]}}})
    )
    (path / "dvc.lock").write_text(lock)
    (path / "metrics" / "train.json").write_text(json.dumps({"environment": "here"}))
    (path / ".gitignore").write_text("/out\n/folder\n")
    (path / "folder").mkdir()
    (path / "folder" / "part").write_bytes(b"part")
    if out is not None:
        (path / "out").write_bytes(out)
    clone = Clone(path)
    clone.run("git", "init", "--quiet")
    for key, value in (("user.name", "Test"), ("user.email", "test@example.org")):
        clone.run("git", "config", key, value)
    clone.commit("start")
    return clone


def test_equal_clones_pass(tmp_path, capsys):
    assert same(project(tmp_path / "a", b"1"), project(tmp_path / "b", b"1"))
    assert "3 files, 0.0 MB, 0 differ" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda clone: (clone.path / "out").write_bytes(b"2"), "differs: out\n"),
        (lambda clone: (clone.path / "out").unlink(), "differs: out\n"),
        (lambda clone: (clone.path / "folder" / "more").write_bytes(b""), "differs: folder/more\n"),
        (lambda clone: (clone.path / "dvc.lock").write_text("other"), "differs: dvc.lock\n"),
        (lambda clone: (clone.path / "new").write_text(""), "git status isn't clean in b"),
    ],
    ids=["a byte", "a file gone", "a file more", "dvc.lock", "git status"],
)
def test_differences_are_listed(tmp_path, capsys, change, said):
    clones = project(tmp_path / "a", b"1"), project(tmp_path / "b", b"1")
    change(clones[1])
    assert not same(*clones)
    assert said in capsys.readouterr().out


def test_an_out_missing_from_both_is_detected(tmp_path, capsys):
    assert not same(project(tmp_path / "a", None), project(tmp_path / "b", None))
    assert "differs: out is missing in both" in capsys.readouterr().out


def test_make_repro_gives_the_same_bytes_in_two_clones():
    """As `make verify` does, on what is committed."""
    subprocess.run([sys.executable, "tests/soak/verify.py"], cwd=ROOT, check=True)
