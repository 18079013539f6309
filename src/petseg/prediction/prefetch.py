"""An iterator that works ahead of its reader."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

_T = TypeVar("_T")
_END = object()


def prefetch(items: Iterator[_T]) -> Iterator[_T]:
    """The same, each made in a thread while the one before is worked on.

    An error comes where its item is asked for. To close it waits for the item in work.
    """
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, items, _END)
        while (item := coming.result()) is not _END:
            coming = pool.submit(next, items, _END)
            yield item  # type: ignore[misc]
