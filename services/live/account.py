"""The account of a live session, whatever its transport: metrics, what a key spent, and the log of provenance."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from recipe.recipe_328 import FPS
from services.live.events import Began, Event, Failed, Finished, LiveFrame
from services.streaming.metrics import Lateness, ServiceMetrics
from services.streaming.provenance import SessionProvenance


@dataclass(slots=True)
class Account:
    """Told of every event of one session, with what is sent of it."""

    metrics: ServiceMetrics
    spend: Callable[[float], None] | None = None  # told how many seconds were said
    record: SessionProvenance | None = None
    _unspent: int = 0  # frames
    _asked_at: float | None = None  # until the first frame of an utterance
    _lateness: Lateness = field(default_factory=Lateness)

    def count(self, event: Event, sent: Sequence[bytes | str]) -> None:
        """An event goes out as these messages."""
        self._measure(event)
        if self.record is not None:
            self.record.sent(event.epoch, sent)
            if isinstance(event, Finished):
                self.record.ended(event.epoch, "left" if event.interrupted else "whole")
            elif isinstance(event, Failed):
                self.record.ended(event.epoch, "failed")

    def _measure(self, event: Event) -> None:
        if isinstance(event, LiveFrame):
            self._frame(event)
        elif isinstance(event, Began):
            self._asked_at, self._lateness = event.asked_at, Lateness()
        elif isinstance(event, Finished):
            (self.metrics.cancelled if event.interrupted else self.metrics.utterances).inc()
        elif isinstance(event, Failed):
            self.metrics.failed.inc()

    def _frame(self, frame: LiveFrame) -> None:
        self.metrics.frames.inc()
        self.metrics.held.inc(frame.held)
        self._unspent += not frame.idle
        if not frame.idle:
            self._lateness.frame()
            if frame.last:
                self.metrics.late_s.observe(self._lateness.most_s)
        if self.spend is not None and self._unspent and (self._unspent == FPS or frame.last):
            self.spend(self._unspent / FPS)
            self._unspent = 0
        if self._asked_at is not None and not frame.idle:
            self.metrics.first_frame_s.observe(time.perf_counter() - self._asked_at)
            self._asked_at = None
