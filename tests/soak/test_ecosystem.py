"""The files for other people's tools, checked with those tools, from the package index and npm."""

import json
import subprocess
import sys
import time
import urllib.request
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from petseg.training.tensorboard import EventLog
from support.environments import Environment
from support.training import ROW
from support.workers import free_ports


@pytest.fixture(scope="module")
def tools(tmp_path_factory):
    path = tmp_path_factory.mktemp("tools") / "venv"
    return Environment(path, Path(sys.executable), "tensorboard").path / "bin"


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
