"""A generator that runs in a thread of its own, a bounded number of items ahead of whoever takes them.

Both signals of the house go upstream here: backpressure (the thread waits while the queue is full) and cancel
(`close`: the thread closes the generator as soon as it has finished the item it is at, which frees every stage;
`on_close` tells a stage that waits inside an item). Who takes from a closed pump is told at once that there is no more.
Items are taken from a thread by `next`, or from an event loop by `await anext`; nothing blocks the loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Generic, TypeVar

from services.errors import StalledError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Pace:
    """A place is for real time. Only the taker's waiting counts: whoever makes the items may be as slow as it is."""

    item_s: float  # what an item is worth
    behind_s: float  # so far may the taker fall behind


class Pump(Generic[T]):
    """One generator, one thread, one taker."""

    def __init__(
        self,
        items: Generator[T, None, None],
        ahead: int,
        name: str,
        stall_s: float | None = None,
        pace: Pace | None = None,
        on_end: Callable[[], None] | None = None,
        on_close: Callable[[], None] | None = None,
    ) -> None:
        """Start.

        Args:
            items: runs in the pump's thread from its first item to its closing.
            ahead: items that may wait to be taken.
            name: of the thread.
            stall_s: give up when nobody took an item for so long; None waits for ever.
            pace: how fast they are to be taken; None does not mind.
            on_end: called once, in the thread, after the generator was closed, whatever the reason.
            on_close: called by `close`, in the thread of whoever closes.
        """
        self._generator = items
        self._ahead = ahead
        self._stall_s = stall_s
        self._pace = pace
        self._behind_s = 0.0  # how long items waited beyond the time that they are worth
        self._on_end = on_end
        self._on_close = on_close
        self._items: deque[T] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._ended = False
        self._error: BaseException | None = None
        self._waiter: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def ended(self) -> bool:
        """True when the generator is closed and nothing of it goes on."""
        return self._ended

    def close(self, wait_s: float = 0.0) -> None:
        """Cancel; what was not taken is dropped.

        Args:
            wait_s: how long to wait for the thread's end.
        """
        with self._changed:
            self._closed = True
            self._items.clear()
            self._wake()
        if self._on_close is not None:
            self._on_close()
        if wait_s:
            self._thread.join(wait_s)

    def insert(self, item: T, dropped: Callable[[T], bool] | None = None) -> None:
        """Give an item that the generator does not make, without waiting for room; what has ended takes none.

        Args:
            item: comes after those that wait.
            dropped: which of those that wait nobody wants any more.
        """
        with self._changed:
            if self._closed or self._ended:
                return
            if dropped is not None:
                self._items = deque(waiting for waiting in self._items if not dropped(waiting))
            self._items.append(item)
            self._wake()

    def __iter__(self) -> Pump[T]:
        return self

    def __next__(self) -> T:
        with self._changed:
            while not self._items and not self._ended and not self._closed:
                self._changed.wait()
            if self._items:
                return self._take()
            if self._error is not None:
                raise self._error
            raise StopIteration

    def poll(self) -> T | None:
        """The next item if there is one; never waits."""
        with self._changed:
            if self._items:
                return self._take()
            if self._ended and self._error is not None:
                raise self._error
            return None

    def __aiter__(self) -> Pump[T]:
        return self

    async def __anext__(self) -> T:
        while True:
            with self._changed:
                if self._items:
                    return self._take()
                if self._ended and self._error is not None:
                    raise self._error
                if self._ended or self._closed:
                    raise StopAsyncIteration
                event = asyncio.Event()
                self._waiter = (asyncio.get_running_loop(), event)
            await event.wait()

    def _take(self) -> T:
        self._changed.notify_all()
        return self._items.popleft()

    def _run(self) -> None:
        error: BaseException | None = None
        try:
            with contextlib.closing(self._generator):
                for item in self._generator:
                    if not self._put(item):
                        break
        except BaseException as caught:  # the thread's outer edge: the taker gets it
            error = caught
        finally:
            try:
                if self._on_end is not None:
                    self._on_end()
            finally:
                with self._changed:
                    self._error = None if self._closed else error  # nobody wants to know
                    self._ended = True
                    self._wake()

    def _put(self, item: T) -> bool:
        """Append, when there is room; False if the pump was closed."""
        began = time.monotonic()
        patience_s = math.inf if self._stall_s is None else self._stall_s
        if self._pace is not None:  # what is blocked for long is behind the clock before it is taken
            patience_s = min(patience_s, self._pace.behind_s - self._behind_s + self._pace.item_s)
        deadline = began + patience_s
        with self._changed:
            while len(self._items) >= self._ahead and not self._closed:
                rest_s = deadline - time.monotonic()
                if rest_s <= 0:
                    raise self._given_up(time.monotonic() - began)
                self._changed.wait(None if math.isinf(rest_s) else rest_s)
            if self._closed:
                return False
            if self._pace is not None:
                waited_s = time.monotonic() - began
                self._behind_s = max(0.0, self._behind_s + waited_s - self._pace.item_s)
                if self._behind_s > self._pace.behind_s:
                    raise self._given_up(waited_s)
            self._items.append(item)
            self._wake()
        return True

    def _given_up(self, waited_s: float) -> StalledError:
        if self._stall_s is not None and waited_s >= self._stall_s:
            return StalledError(f"nobody took a frame for {self._stall_s:g} s; the stream was given up")
        assert self._pace is not None
        return StalledError(
            f"the client fell {self._pace.behind_s:g} s behind the clock while frames waited for it; the stream was "
            "given up, so that others have its place"
        )

    def _wake(self) -> None:
        self._changed.notify_all()
        if self._waiter is not None:
            loop, event = self._waiter
            self._waiter = None
            with contextlib.suppress(RuntimeError):  # the loop is gone, and with it who waited
                loop.call_soon_threadsafe(event.set)
