"""What the server counts, for Prometheus; every server has a registry of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import closing

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

from recipe.recipe_328 import FPS
from services.streaming.events import Event, Frame

_SECONDS = (0.05, 0.1, 0.15, 0.25, 0.4, 0.6, 1.0, 2.0, 5.0, 10.0)
_LATE_S = (0.0, 0.04, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0)
_CANCEL_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0)
_FACTORS = (0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 1.0, 1.25, 1.5, 2.0, 4.0)


class Lateness:
    """By how much frames come too late for a player that began with the first one."""

    def __init__(self) -> None:
        self.most_s = 0.0
        self._frames = 0
        self._began_s = 0.0

    def frame(self) -> None:
        """The next one is there."""
        now_s = time.perf_counter()
        if self._frames == 0:
            self._began_s = now_s
        self.most_s = max(self.most_s, now_s - self._began_s - self._frames / FPS)
        self._frames += 1


class ServiceMetrics:
    """The instruments."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)  # memory, processor time, handles
        self.first_frame_s = Histogram(
            "avatar328_first_frame_delay_seconds",
            "From the request to its first frame",
            buckets=_SECONDS,
            registry=registry,
        )
        self.real_time_factor = Histogram(
            "avatar328_real_time_factor",
            "Time taken to make an utterance, by its length; includes waiting for a slow client",
            buckets=_FACTORS,
            registry=registry,
        )
        self.late_s = Histogram(
            "avatar328_late_seconds",
            "By how much the latest frame of an utterance came after a player that began with the first one needed it; "
            "includes waiting for what is said and for a slow client",
            buckets=_LATE_S,
            registry=registry,
        )
        self.cancel_s = Histogram(
            "avatar328_cancel_seconds",
            "From a live client's cancel to its answer",
            buckets=_CANCEL_S,
            registry=registry,
        )
        self.frames = Counter("avatar328_frames", "Frames generated", registry=registry)
        self.held = Counter(
            "avatar328_held_frames", "Frames that show the mouth before, to stay in time", registry=registry
        )
        self.utterances = Counter("avatar328_utterances", "Utterances finished", registry=registry)
        self.cancelled = Counter("avatar328_cancelled", "Utterances whose client left", registry=registry)
        self.failed = Counter("avatar328_failed", "Utterances that failed", registry=registry)
        self.errors = Counter("avatar328_errors", "Problems answered", ["type"], registry=registry)
        self.sessions = Gauge(
            "avatar328_sessions_active", "Utterances being made, and live sessions", registry=registry
        )
        self.places = Gauge("avatar328_sessions_limit", "How many there may be at a time", registry=registry)

    def watch(
        self, events: Generator[Event, None, None], asked_at: float, spend: Callable[[float], None] | None = None
    ) -> Generator[Event, None, None]:
        """Count what passes.

        Args:
            events: of one utterance.
            asked_at: `time.perf_counter()` when it was asked for.
            spend: told at the end how many seconds of animation there were.
        """
        count, lateness = 0, Lateness()
        with closing(events):
            try:
                for event in events:
                    if isinstance(event, Frame):
                        if count == 0:
                            self.first_frame_s.observe(time.perf_counter() - asked_at)
                        count += 1
                        lateness.frame()
                        self.frames.inc()
                        self.held.inc(event.held)
                    yield event
            except GeneratorExit:
                self.cancelled.inc()
                raise
            except Exception:
                self.failed.inc()
                raise
            finally:
                if spend is not None:
                    spend(count / FPS)
        self.utterances.inc()
        if count:
            self.late_s.observe(lateness.most_s)
            self.real_time_factor.observe((time.perf_counter() - asked_at) * FPS / count)
