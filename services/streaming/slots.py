"""How many things happen at the same time; one more is refused at once instead of making all of them stutter."""

from __future__ import annotations

import threading

from services.errors import BusyError


class Slots:
    """A number of places; safe to use from several threads."""

    def __init__(self, count: int, what: str) -> None:
        """Set the number.

        Args:
            count: places.
            what: for the message, in the plural.
        """
        self.count = count
        self._what = what
        self._used = 0
        self._lock = threading.Lock()

    def resize(self, count: int) -> None:
        """Set the number anew; whoever has a place keeps it."""
        with self._lock:
            self.count = count

    @property
    def used(self) -> int:
        return self._used

    @property
    def free(self) -> int:
        return max(0, self.count - self._used)

    def take(self) -> None:
        """Take a place.

        Raises:
            BusyError: there is none.
        """
        with self._lock:
            if self._used >= self.count:
                raise BusyError(f"this server makes {self.count} {self._what} at a time and is busy; try again soon")
            self._used += 1

    def give_back(self) -> None:
        """Free a place that was taken."""
        with self._lock:
            assert self._used > 0
            self._used -= 1

    def __enter__(self) -> None:
        self.take()

    def __exit__(self, *_: object) -> None:
        self.give_back()
