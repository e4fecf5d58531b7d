"""A session that cannot be drawn in time lets the mouth move 12.5 times a second instead of 25, before anything stalls.

Every other mouth is shown once more, over the next template frame: head, eyes and shoulders go on moving at 25 frames a
second, and the sound, which is the clock, does not notice. What counts is the time that drawing takes, by the clock:
not the time for which a slow reader lets frames wait, nor for which sound is waited for.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from recipe.recipe_328 import FPS

T = TypeVar("T")

_BUSY_S: Final = 0.90 / FPS  # one that takes longer cannot be drawn for every frame, with what else a frame costs...
_FREE_S: Final = 0.65 / FPS  # ...and one that takes less can again
_SMOOTHED_OVER: Final = 8  # drawn mouths
_DECIDED_AFTER: Final = 6  # of them: the first ones warm up


@dataclass(slots=True)
class MouthRate:
    """What one session can afford."""

    halved: bool = False
    _mouth_s: float = 0.0  # what one takes, lately
    _drawn: int = 0

    def held(self, count: int) -> list[bool]:
        """Which of the next frames show the mouth of the frame before them; the first never does."""
        return [self.halved and row % 2 == 1 for row in range(count)]

    def timed(self, pictures: Iterator[T], held: Sequence[bool]) -> Iterator[T]:
        """Hand pictures on, and note what they took; their taker's time does not count."""
        took_s = 0.0
        began = time.perf_counter()
        for picture in pictures:
            took_s += time.perf_counter() - began
            yield picture
            began = time.perf_counter()
        self.took(took_s + time.perf_counter() - began, len(held) - sum(held))

    def took(self, seconds: float, mouths: int) -> None:
        """Note what so many drawn mouths took together, with all that they were shown in."""
        for _ in range(mouths):
            self._drawn += 1
            self._mouth_s += (seconds / mouths - self._mouth_s) / min(self._drawn, _SMOOTHED_OVER)
        if self._drawn >= _DECIDED_AFTER:
            self.halved = self._mouth_s > (_FREE_S if self.halved else _BUSY_S)


def shown_rows(count: int, held: Sequence[bool]) -> list[list[int]]:
    """Rows that show the same mouth, drawn for the first of them: consecutive, and all of them in order."""
    groups: list[list[int]] = []
    for row in range(count):
        if groups and row < len(held) and held[row]:
            groups[-1].append(row)
        else:
            groups.append([row])
    return groups
