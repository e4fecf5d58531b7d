"""What a live session gives, for whoever takes it: a thread by `for`, an event loop by `async for`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Generic, NamedTuple, TypeVar

from services.live.events import Event
from services.streaming.pump import Pump

T = TypeVar("T")


class Coded(NamedTuple, Generic[T]):
    """An event, and what a transport makes of it."""

    event: Event
    coded: T


class LiveStream(Generic[T]):
    """One taker; what is stale is left out at the moment it is taken."""

    def __init__(self, pump: Pump[Coded[T]], code: Callable[[Event], T], is_stale: Callable[[Event], bool]) -> None:
        """Take over.

        Args:
            pump: runs the session.
            code: what a transport makes of an event.
            is_stale: whether an event belongs to an epoch that was cleared.
        """
        self._pump, self._code, self._is_stale = pump, code, is_stale

    @property
    def ended(self) -> bool:
        """True when the session's thread is gone."""
        return self._pump.ended

    def insert(self, event: Event) -> None:
        """Give an event that does not wait for the frames before it; what is stale is dropped."""
        self._pump.insert(Coded(event, self._code(event)), lambda waiting: self._is_stale(waiting.event))

    def is_stale(self, event: Event) -> bool:
        """Whether an event was cleared since it was taken."""
        return self._is_stale(event)

    def close(self, wait_s: float = 0.0) -> None:
        """Take nothing more; see Pump.close."""
        self._pump.close(wait_s)

    def poll(self) -> Coded[T] | None:
        """What comes next, if it is there; never waits."""
        while (item := self._pump.poll()) is not None:
            if not self._is_stale(item.event):
                return item
        return None

    def __iter__(self) -> Iterator[Coded[T]]:
        for item in self._pump:
            if not self._is_stale(item.event):
                yield item

    async def __aiter__(self) -> AsyncIterator[Coded[T]]:
        async for item in self._pump:
            if not self._is_stale(item.event):
                yield item
