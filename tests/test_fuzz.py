"""A short run of checks/fuzz.py; the long one is a command of its own."""

import pytest

import fuzz

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
    strategy, read = readers[name]
    done, taken, longest = fuzz.fuzz(strategy, read, inputs=150, number=0)
    assert done >= 150
    assert taken < done  # some of them are broken indeed
    assert longest < fuzz.MOST_SECONDS


def test_a_reader_that_breaks_is_noticed(readers):
    strategy, _ = readers["pictures"]
    with pytest.raises(ZeroDivisionError):
        fuzz.fuzz(strategy, lambda data: 1 // (len(data) - len(data)), inputs=10, number=0)
