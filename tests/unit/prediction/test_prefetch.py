"""An iterator whose next item is computed in the background."""

import threading

import pytest

from petseg.core.errors import PetsegError
from petseg.prediction.prefetch import prefetch


def test_one_item_is_computed_ahead_and_no_more():
    computed = [threading.Event() for _ in range(4)]

    def items():
        for number, event in enumerate(computed):
            event.set()
            yield None if number == 2 else number

    ahead = prefetch(items())
    for number, expected in enumerate([0, 1, None, 3]):
        assert next(ahead) == expected
        assert number == 3 or computed[number + 1].wait(10)
        assert not any(event.is_set() for event in computed[number + 2 :])
    assert list(ahead) == []


def test_an_exception_is_raised_where_its_item_is_requested():
    def items():
        yield 0
        raise PetsegError("broken")

    ahead = prefetch(items())
    assert next(ahead) == 0
    with pytest.raises(PetsegError, match="broken"):
        next(ahead)


def test_closing_early_leaves_no_thread():
    before = threading.active_count()
    ahead = prefetch(iter(range(100)))
    assert next(ahead) == 0
    assert threading.active_count() == before + 1
    ahead.close()
    assert threading.active_count() == before
