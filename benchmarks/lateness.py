"""When the frames of a stream came, and how late that was for somebody who watches."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from recipe.recipe_328 import FPS

_FRAME_S: Final = 1 / FPS


@dataclass(slots=True)
class Listener:
    """When the frames of one session came, in seconds of the same clock."""

    asked_s: float = 0.0
    heard_s: float = 0.0  # the first byte: from then on there is sound
    came_s: list[float] = field(default_factory=list)

    @property
    def late_ms(self) -> list[float]:
        """How late every frame is for a player that began with the first one; 0 for one that is early."""
        return [max(0.0, came - self.came_s[0] - i * _FRAME_S) * 1e3 for i, came in enumerate(self.came_s)]

    @property
    def fps(self) -> float:
        """From the request to the last frame."""
        return len(self.came_s) / (self.came_s[-1] - self.asked_s)

    @property
    def speech_s(self) -> float:
        """Length of what was said."""
        return len(self.came_s) * _FRAME_S


def p95(values: Sequence[float]) -> float:
    """What 95 % of the values do not exceed, between two of them if need be."""
    return statistics.quantiles(values, n=20, method="inclusive")[-1] if len(values) > 1 else values[0]
