"""No broken bytes bring a reader down, and fuzz.py notices readers that hang, break or reject sound inputs."""

import subprocess
import sys
import time
from dataclasses import replace

import pytest

import fuzz
from petseg.core.errors import PetsegError
from support.project import ROOT

NAMES = [
    "shards",
    "records with a correct checksum",
    "model.json",
    "model.json with a correct checksum",
    "manifest.json",
    "images",
    "masks",
    "folder layouts",
]


@pytest.fixture(scope="module")
def readers(tmp_path_factory):
    return fuzz.readers(tmp_path_factory.mktemp("fuzz"))


def test_every_reader_is_listed_here(readers):
    assert list(readers) == NAMES


def test_no_reader_crashes_on_a_hundred_thousand_broken_inputs():
    command = [sys.executable, "tests/soak/fuzz.py", "--inputs", "100000"]
    subprocess.run(command, cwd=ROOT, check=True)


@pytest.mark.parametrize("name", NAMES)
def test_a_reader_that_rejects_valid_input_is_detected(readers, name):
    def refuse(data):
        raise PetsegError("no")

    with pytest.raises(PetsegError):
        fuzz.fuzz(replace(readers[name], read=refuse), inputs=1, number=0)


def test_a_reader_that_hangs_is_detected(readers, monkeypatch):
    monkeypatch.setattr(fuzz, "MAX_SECONDS", 1)
    target = fuzz.Target(lambda data: time.sleep(30), [], readers["images"].inputs)
    with pytest.raises(fuzz.TooSlowError):
        fuzz.fuzz(target, inputs=1, number=0)


def test_a_reader_that_crashes_is_detected(readers):
    target = fuzz.Target(lambda data: 1 // (len(data) - len(data)), [], readers["images"].inputs)
    with pytest.raises(ZeroDivisionError):
        fuzz.fuzz(target, inputs=10, number=0)
