"""How often, and for how many seconds of animation a day, each key may ask."""

from __future__ import annotations

import math
import time
from typing import Final

from limits import RateLimitItemPerDay, RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from services.errors import QuotaError

_PUT_BACK_S: Final = 1.0  # less is a clock that is kept right


class Quotas:
    """Counts per key, in this process; safe to use from several threads."""

    def __init__(self, requests_per_minute: int, seconds_per_day: int) -> None:
        """Set the limits; 0 is none."""
        self._storage = MemoryStorage()
        self._limiter = MovingWindowRateLimiter(self._storage)
        self._clock_s = self._clock_ahead_s()
        self._requests = RateLimitItemPerMinute(requests_per_minute) if requests_per_minute else None
        self._seconds = RateLimitItemPerDay(seconds_per_day) if seconds_per_day else None

    def ask(self, key: str) -> None:
        """Count a request.

        Raises:
            QuotaError: there were too many in the last minute.
        """
        self._forget_the_future()
        if self._requests is not None and not self._limiter.hit(self._requests, "requests", key):
            raise QuotaError(f"the key {key} asked {self._requests.amount} times within a minute", 60)

    def check_seconds(self, key: str) -> None:
        """Look whether the key may have another animation.

        Raises:
            QuotaError: it had as many seconds of animation as a day allows.
        """
        self._forget_the_future()
        if self._seconds is not None and not self._limiter.test(self._seconds, "seconds", key):
            raise QuotaError(f"the key {key} had its {self._seconds.amount} seconds of animation of this day", 3600)

    def spend(self, key: str, seconds: float) -> None:
        """Count animation that was sent; what goes beyond the limit is counted, too, as far as it reaches."""
        if self._seconds is not None:
            left = self._limiter.get_window_stats(self._seconds, "seconds", key).remaining
            cost = min(math.ceil(seconds), left)
            if cost:
                self._limiter.hit(self._seconds, "seconds", key, cost=cost)

    def _forget_the_future(self) -> None:
        """Where the clock was put back, what was counted would stay until it is as late again; count anew instead."""
        clock_s = self._clock_ahead_s()
        if clock_s < self._clock_s - _PUT_BACK_S:
            self._storage.reset()
        self._clock_s = clock_s

    @staticmethod
    def _clock_ahead_s() -> float:
        """The same all the time, unless the clock is put."""
        return time.time() - time.monotonic()
