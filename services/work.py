"""What a server is making: who gets a place, and how all of it ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Generator
from contextlib import closing

from services.errors import StoppingError
from services.streaming.events import Event
from services.streaming.pump import Pump
from services.streaming.slots import Slots


class WorkInPlaces:
    """Pumps that run in a number of places; safe to use from several threads."""

    def __init__(self, slots: Slots) -> None:
        """Nothing runs.

        Args:
            slots: the places.
        """
        self.slots = slots
        self._stopping, self._stopped = threading.Event(), threading.Event()
        self._running: list[tuple[Pump[bytes], str]] = []  # and the avatar that speaks
        self._changing = threading.Lock()

    def start(self, begin: Callable[[Callable[[], None]], Pump[bytes]]) -> Pump[bytes]:
        """Set something going that takes a place until it has ended.

        Args:
            begin: begins it; what it is given gives the place back.
        Raises:
            StoppingError, BusyError: there is no place.
        """
        self.take_place()
        try:
            pump = begin(self.slots.give_back)
        except BaseException:  # no thread can be started
            self.slots.give_back()
            raise
        self.watch_over(pump)
        return pump

    def in_one_piece(self, pieces: Generator[bytes, None, None], name: str, cancelled: threading.Event) -> Pump[bytes]:
        """`start` what is read as a whole; `cancelled` is set when nobody waits for it any more."""
        return self.start(lambda give_back: Pump(pieces, 1, name, on_end=give_back, on_close=cancelled.set))

    def watch_over(self, pump: Pump[bytes], avatar: str = "") -> None:
        """It is closed with the service, or when its avatar is revoked."""
        with self._changing:
            self._running = [*(running for running in self._running if not running[0].ended), (pump, avatar)]

    def close_those_of(self, avatars: Collection[str]) -> None:
        """Cut what these avatars are saying."""
        with self._changing:
            speaking = [pump for pump, avatar in self._running if avatar in avatars]
        for pump in speaking:
            pump.close()

    def stop(self, within_s: float) -> None:
        """Take nothing new; what is being made may end by itself within so many seconds, then it ends with a word."""
        self._stopping.set()
        timer = threading.Timer(within_s, self._stopped.set)
        timer.daemon = True
        timer.start()

    def until_stopped(self, events: Generator[Event, None, None]) -> Generator[Event, None, None]:
        """The same events, until the time is up that `stop` gave.

        Raises:
            StoppingError: it is.
        """
        with closing(events):
            for event in events:
                if self._stopped.is_set():
                    raise StoppingError("this server is stopping; ask again in a moment")
                yield event

    def take_place(self) -> None:
        """Take a place, unless the server is being stopped.

        Raises:
            StoppingError, BusyError: there is none for anything new.
        """
        if self._stopping.is_set():
            raise StoppingError("this server is stopping and takes nothing new; ask again in a moment")
        self.slots.take()

    def close(self, wait_s: float) -> None:
        """Cancel everything that is being made, and wait for its end."""
        with self._changing:
            running = [pump for pump, _ in self._running]
        for pump in running:
            pump.close()
        until = time.monotonic() + wait_s
        for pump in running:
            pump.close(wait_s=max(until - time.monotonic(), 0.01))
