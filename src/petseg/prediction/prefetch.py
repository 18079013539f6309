"""Compute the next item of an iterator in the background."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

_T = TypeVar("_T")
_END = object()


def prefetch(items: Iterator[_T]) -> Iterator[_T]:
    """Yield the same items, computing each in a thread while the caller works on the previous item.

    An exception is raised when its item is requested. Closing waits for the item in progress.
    """
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(next, items, _END)
        while (item := future.result()) is not _END:
            future = pool.submit(next, items, _END)
            yield item  # type: ignore[misc]
