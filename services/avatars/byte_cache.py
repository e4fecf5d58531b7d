"""A least-recently-used cache that is limited by bytes, for pictures, features and whole avatars."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class ByteCache(Generic[K, V]):
    """Keeps what was used last, up to a number of bytes; safe to use from several threads.

    The newest entry always stays, even if it alone exceeds the budget: a cache that is too small costs time,
    never correctness.
    """

    def __init__(self, budget_bytes: int) -> None:
        self._budget_bytes = budget_bytes
        self._entries: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self._used_bytes = 0
        self._lock = threading.Lock()

    @property
    def used_bytes(self) -> int:
        return self._used_bytes

    def get(self, key: K) -> V | None:
        """The value, which becomes the most recently used one; None if it is not there."""
        with self._lock:
            if key not in self._entries:
                return None
            self._entries.move_to_end(key)
            return self._entries[key][0]

    def put(self, key: K, value: V, size_bytes: int) -> None:
        """Store a value and drop the least recently used ones that no longer fit."""
        with self._lock:
            self._drop(key)
            self._entries[key] = (value, size_bytes)
            self._used_bytes += size_bytes
            while self._used_bytes > self._budget_bytes and len(self._entries) > 1:
                self._drop(next(iter(self._entries)))

    def keys(self) -> list[K]:
        """Of what is kept, the least recently used one first."""
        with self._lock:
            return list(self._entries)

    def drop_if(self, unwanted: Callable[[V], bool]) -> list[K]:
        """Forget some; returns their keys."""
        with self._lock:
            keys = [key for key, (value, _) in self._entries.items() if unwanted(value)]
            for key in keys:
                self._drop(key)
        return keys

    def _drop(self, key: K) -> None:
        if key in self._entries:
            self._used_bytes -= self._entries.pop(key)[1]
