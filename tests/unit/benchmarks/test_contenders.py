"""Contenders take turns, and rates and ratios are computed from their figures."""

import itertools
import os

import pytest

from benchmarks.contenders import (
    Contender,
    ContenderError,
    Measurement,
    rate,
    ratio,
    take_turns,
)
from support import contenders


def writer(file, name):
    return Contender(name, contenders.write_name, {"file": file, "name": name})


def test_contenders_take_turns_in_separate_processes(tmp_path):
    file = tmp_path / "names"
    rows = take_turns([writer(file, name) for name in "ABC"], "bytes", repetitions=2)
    assert file.read_text() == "ABCABCABC"
    assert [(row.cold, row.values) for row in rows] == [(1, [4, 7]), (2, [5, 8]), (3, [6, 9])]
    assert len({row.details["process"] for row in rows} | {os.getpid()}) == 4
    assert all(5 < row.details["peak MiB"] < 5000 for row in rows)


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (contenders.fail, "ValueError: no such thing"),
        (contenders.die, "ended without an error message"),
    ],
)
def test_a_failing_contender_is_named(tmp_path, prepare, message):
    bad = Contender("the bad one", prepare)
    with pytest.raises(ContenderError, match=rf"(?s)the bad one.*{message}"):
        take_turns([writer(tmp_path / "names", "A"), bad], "s", 1)


@pytest.mark.parametrize(("seconds", "num_calls"), [(0.5, 1), (1, 1), (3.5, 4)])
def test_a_rate_counts_whole_calls_until_time_is_up(seconds, num_calls):
    calls = []
    clock = itertools.count().__next__  # each look at the clock takes a second
    assert rate(lambda: calls.append(1), 3, seconds, clock) == 3
    assert len(calls) == num_calls


def test_ratios_are_computed_turn_by_turn():
    one = Measurement("one", "images/s", [10.0, 20.0, 40.0], 5.0, {})
    other = Measurement("other", "images/s", [20.0, 60.0, 80.0], 8.0, {})
    assert ratio(other, one) == [2, 3, 2]
