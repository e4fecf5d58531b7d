"""What an attack is given and what it says: the server, and what came of it."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import httpx2 as httpx

from benchmarks.measures.service import Server

PATIENCE_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Target:
    """What is attacked."""

    server: Server
    folder: Path  # `avatars` in it is the server's
    name: str
    times: float
    keys: bool = False

    def count(self, times: int) -> int:
        """So often, or as much more seldom as was asked for."""
        return max(2, round(times * self.times))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it."""

    tried: str
    happened: str
    held: bool
    ended: bool = False  # the server is gone, as it should be

    def unless(self, harmed: bool, how: str) -> Outcome:
        """The same, or harm."""
        return replace(self, happened=f"{self.happened}; {how}", held=False) if harmed else self


def status_of(address: str, path: str, **wish: Any) -> int:
    """Status of an answer; 0 where the connection was closed without one."""
    try:
        return httpx.get(address + path, timeout=PATIENCE_S, **wish).status_code
    except httpx.TransportError:
        return 0


def told(found: Counter[int]) -> str:
    """Statuses and how often."""
    return ", ".join(f"{number}x {status or 'closed'}" for status, number in sorted(found.items()))


def watched(address: str, work: Callable[[], None]) -> float:
    """Do something, and return the longest time that /livez took meanwhile, s."""
    done, slowest = threading.Event(), [0.0]

    def look() -> None:
        while not done.is_set():
            began = time.monotonic()
            status_of(address, "/livez")
            slowest[0] = max(slowest[0], time.monotonic() - began)
            done.wait(0.05)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        work()
    finally:
        done.set()
        thread.join()
    return slowest[0]
