import os
import threading

import pytest

from petseg.core.parallel import parallel_map


def test_results_come_in_the_order_of_their_items(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    both = threading.Barrier(2, timeout=60)

    def work(item):
        both.wait()
        return item**2

    assert parallel_map(work, [3, 2]) == [9, 4]  # a thread alone would wait for the other for ever
    assert parallel_map(work, []) == []


def test_of_two_errors_the_first_item_s_is_raised(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    second_failed = threading.Event()

    def work(item):
        if item == 0:
            second_failed.wait(60)
        else:
            second_failed.set()
        raise ValueError(item)

    with pytest.raises(ValueError, match=r"^0$"):
        parallel_map(work, [0, 1])
