"""A short run of tests/soak/fuzz.py; the long one is a command of its own."""

import time
from dataclasses import replace

import pytest

import fuzz
from petseg.core.errors import PetsegError

NAMES = [
    "shards",
    "records with a right checksum",
    "model.json",
    "model.json with a right checksum",
    "manifest.json",
    "pictures",
    "masks",
    "folder layouts",
]


@pytest.fixture(scope="module")
def readers(tmp_path_factory):
    return fuzz.readers(tmp_path_factory.mktemp("fuzz"))


def test_every_reader_is_named_here(readers):
    assert list(readers) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_no_bytes_bring_a_reader_down(readers, name):
    assert readers[name].sound
    before = fuzz.peak_memory()
    done, taken, longest = fuzz.fuzz(readers[name], inputs=150, number=0)
    assert done >= 150
    assert taken < done  # some of them are broken indeed
    assert longest < fuzz.MOST_SECONDS
    assert fuzz.peak_memory() - before < fuzz.MOST_MEMORY


@pytest.mark.parametrize("name", NAMES)
def test_a_reader_that_refuses_what_is_sound_is_noticed(readers, name):
    def refuse(data):
        raise PetsegError("no")

    with pytest.raises(PetsegError):
        fuzz.fuzz(replace(readers[name], read=refuse), inputs=1, number=0)


def test_a_reader_that_hangs_is_noticed(readers, monkeypatch):
    monkeypatch.setattr(fuzz, "MOST_SECONDS", 1)
    target = fuzz.Target(lambda data: time.sleep(30), [], readers["pictures"].inputs)
    with pytest.raises(fuzz.TooSlowError):
        fuzz.fuzz(target, inputs=1, number=0)


def test_a_reader_that_breaks_is_noticed(readers):
    target = fuzz.Target(lambda data: 1 // (len(data) - len(data)), [], readers["pictures"].inputs)
    with pytest.raises(ZeroDivisionError):
        fuzz.fuzz(target, inputs=10, number=0)
