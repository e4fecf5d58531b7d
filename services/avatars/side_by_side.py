"""Frames drawn side by side on the cores there are, handed on in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

Asked = TypeVar("Asked")
Made = TypeVar("Made")


class SideBySide(Generic[Asked, Made]):
    """Calls a function for one thing after the other, some of them at the same time; its threads end with it."""

    def __init__(self, function: Callable[[Asked], Made], at_once: int) -> None:
        """Prepare.

        Args:
            function: may be called from several threads.
            at_once: calls at a time; 1 is without threads.
        """
        self._function = function
        self._at_once = at_once
        self._threads = ThreadPoolExecutor(at_once, "draw") if at_once > 1 else None

    def __call__(self, asked: Iterable[Asked]) -> Iterator[Made]:
        """The results in order; at most `at_once` are made before they are wanted."""
        if self._threads is None:
            yield from map(self._function, asked)
            return
        waiting: deque[Future[Made]] = deque()
        try:
            for one in asked:
                if len(waiting) == self._at_once:
                    yield waiting.popleft().result()
                waiting.append(self._threads.submit(self._function, one))
            while waiting:
                yield waiting.popleft().result()
        finally:
            for left in waiting:
                left.cancel()
