"""A map over threads, for work that releases the GIL, such as reading and hashing files."""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def parallel_map(function: Callable[[_Item], _Result], items: Iterable[_Item]) -> list[_Result]:
    """Apply `function` to each item on all cores and return the results in order.

    If any call fails, the exception of the first failing item is raised and pending items are
    dropped.
    """
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(function, items))
