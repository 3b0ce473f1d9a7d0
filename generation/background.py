"""Work done in a thread next to the caller's, while the caller computes.

NumPy, OpenCV, TensorFlow and file systems release Python's lock while they work, so one more thread is enough to
prepare what the caller needs next, or to write what it has just made. Both functions hold a few items at most.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from typing import TypeVar

T = TypeVar("T")


def prefetch(items: Iterable[T], size: int = 2) -> Iterator[T]:
    """Yield the same items, made in a thread of their own, up to `size` of them before they are asked for.

    An error in making an item is raised in place of that item.
    """
    iterator = iter(items)
    with ThreadPoolExecutor(1) as thread:
        waiting = deque(thread.submit(_next, iterator) for _ in range(size))
        try:
            while found := waiting.popleft().result():
                waiting.append(thread.submit(_next, iterator))
                yield found[0]
        finally:
            thread.shutdown(wait=True, cancel_futures=True)


def _next(iterator: Iterator[T]) -> list[T]:
    """The next item in a list, which is empty after the last."""
    return list(islice(iterator, 1))


@contextmanager
def deferred_calls(size: int = 4) -> Iterator[Callable[..., None]]:
    """Make calls later and in order, in a thread of their own; all are done when the context ends.

    Yields:
        Function that takes a function and its arguments. It returns at once unless `size` calls are waiting. An error
        of a call is raised by a later one, or when the context ends; the calls still waiting are then dropped.
    """
    waiting: deque[Future] = deque()
    with ThreadPoolExecutor(1) as thread:

        def later(function: Callable, *arguments: object) -> None:
            if len(waiting) >= size:
                waiting.popleft().result()
            waiting.append(thread.submit(function, *arguments))

        try:
            yield later
            while waiting:
                waiting.popleft().result()
        finally:
            thread.shutdown(wait=True, cancel_futures=True)
