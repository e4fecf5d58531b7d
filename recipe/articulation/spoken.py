"""What a speech engine gives that knows its phones: the sound, and when each phone is heard.

Axes: S audio samples at the engine's rate.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recipe.articulation.visemes import Phone

PAUSE: Final = {"arpabet": "pau", "ipa": "_"}


class SpeechError(RuntimeError):
    """An engine or a file could not give speech with phone times."""


class Spoken(NamedTuple):
    """One text, spoken: float32 mono in [-1, 1], and its phones from 0 to its end, in order and without gaps."""

    pcm_S: NDArray[np.float32]
    rate_hz: int
    phones: tuple[Phone, ...]
    alphabet: str  # one of visemes.ALPHABETS


def without_gaps(marks: Iterable[tuple[str, float]], duration_s: float, alphabet: str) -> tuple[Phone, ...]:
    """Phones that cover a sound.

    Args:
        marks: name and begin of each, seconds, in order; what begins after the end is left out.
        duration_s: of the sound; the last phone lasts to its end.
        alphabet: one of visemes.ALPHABETS, for the pause before the first phone.
    """
    kept = [(name, start_s) for name, start_s in marks if start_s < duration_s]
    if not kept or kept[0][1] > 0:
        kept.insert(0, (PAUSE[alphabet], 0.0))
    stops = [*(start_s for _, start_s in kept[1:]), duration_s]
    return tuple(Phone(name, a, b) for (name, a), b in zip(kept, stops, strict=True) if b > a)


def later(phones: Iterable[Phone], by_s: float) -> tuple[Phone, ...]:
    """The same phones at a later time."""
    return tuple(replace(phone, start_s=phone.start_s + by_s, stop_s=phone.stop_s + by_s) for phone in phones)
