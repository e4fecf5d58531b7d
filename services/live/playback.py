"""The account of a live session: which frames were handed out, and which of them whoever watches has seen.

Axes: D what a frame's mouth was told.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.avatars.template import TemplateStep


@dataclass(frozen=True, eq=False, slots=True)
class HandedOut:
    """What has to be known of a frame when it is shown."""

    sequence: int
    epoch: int
    step: TemplateStep
    stop_sample: int  # of the epoch's sound, when this frame is over
    told_D: NDArray[np.float32]
    last: bool


class Playback:
    """Frames between the drawing and the eye; whoever calls holds the session's lock."""

    def __init__(self) -> None:
        """Nothing was handed out."""
        self.next_sequence = 0
        self.shown: HandedOut | None = None
        self._waiting: deque[HandedOut] = deque()

    @property
    def ahead(self) -> int:
        """Frames that were handed out and not shown yet."""
        return len(self._waiting)

    def hand_out(self, frame: HandedOut) -> None:
        """A frame is on its way; its sequence is `next_sequence`."""
        self.next_sequence += 1
        self._waiting.append(frame)

    def acknowledge(self, sequence: int) -> list[HandedOut]:
        """A frame is on the screen; returns it and those before it that were not known to be shown.

        What was never handed out, or was cleared, changes nothing.
        """
        if sequence >= self.next_sequence:
            return []
        seen = []
        while self._waiting and self._waiting[0].sequence <= sequence:
            seen.append(self._waiting.popleft())
        if seen:
            self.shown = seen[-1]
        return seen

    def forget(self) -> None:
        """What was not shown never will be."""
        self._waiting.clear()

    def played(self, epoch: int) -> int:
        """Samples of an epoch that were played, as far as frames tell."""
        return self.shown.stop_sample if self.shown is not None and self.shown.epoch == epoch else 0
