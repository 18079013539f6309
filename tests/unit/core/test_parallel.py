import os
import threading

import pytest

from petseg.core.parallel import parallel_map


def test_results_are_in_item_order(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    both = threading.Barrier(2, timeout=60)

    def square(item):
        both.wait()  # two threads must get here
        return item**2

    assert parallel_map(square, [3, 2]) == [9, 4]
    assert parallel_map(square, []) == []


def test_the_error_of_the_first_failing_item_is_raised(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    second_failed = threading.Event()

    def fail(item):
        if item == 0:
            second_failed.wait(60)
        else:
            second_failed.set()
        raise ValueError(item)

    with pytest.raises(ValueError, match=r"^0$"):
        parallel_map(fail, [0, 1])
