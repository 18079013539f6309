"""An iterator that works ahead of its reader."""

import threading

import pytest

from petseg.core.errors import PetsegError
from petseg.prediction.prefetch import prefetch


def test_the_next_item_is_made_while_one_is_worked_on_and_no_further_one():
    made = [threading.Event() for _ in range(4)]

    def items():
        for number, event in enumerate(made):
            event.set()
            yield None if number == 2 else number

    ahead = prefetch(items())
    for number, expected in enumerate([0, 1, None, 3]):
        assert next(ahead) == expected
        assert number == 3 or made[number + 1].wait(10)
        assert not any(event.wait(0.05) for event in made[number + 2 : number + 3])
    assert list(ahead) == []


def test_an_error_comes_where_its_item_is_asked_for():
    def items():
        yield 0
        raise PetsegError("broken")

    ahead = prefetch(items())
    assert next(ahead) == 0
    with pytest.raises(PetsegError, match="broken"):
        next(ahead)


def test_what_is_closed_early_leaves_no_thread():
    before = threading.active_count()
    ahead = prefetch(iter(range(100)))
    assert next(ahead) == 0
    assert threading.active_count() == before + 1
    ahead.close()
    assert threading.active_count() == before
