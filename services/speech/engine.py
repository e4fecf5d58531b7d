"""What the facade asks of a speech engine. A new engine is one class like this and one line in `build_speech`.

Axes: S audio samples at the engine's rate.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from recipe.articulation.visemes import Phone
from services.types import Voice


class Sound(NamedTuple):
    """A piece of a sentence: float32 mono in [-1, 1], and the phones of it if the engine knows them.

    An engine tells all phones of a piece or none: in order, without gaps, in seconds from the piece's begin.
    """

    pcm_S: NDArray[np.float32]
    rate_hz: int
    phones: tuple[Phone, ...] | None = None
    alphabet: str = ""  # of the phones, one of recipe.articulation.visemes.ALPHABETS


class Engine(Protocol):
    """One way to make speech. Used by several threads at a time."""

    @property
    def name(self) -> str:
        """The part of its voices' names before the colon."""

    def voices(self) -> Sequence[Voice]:
        """What it can speak with here and now, its best voice first; never raises."""

    def absence(self) -> str:
        """Why it has no voice, and what to do; asked only where `voices` is empty."""

    def version(self, voice: str) -> str:
        """Changes when the same sentence would sound different."""

    def unspoken(self, sentence: str, voice: str) -> str:
        """The characters that the voice would leave out, or only call by what they are; each once, empty if none.

        Args:
            sentence: as `speak` gets it.
            voice: name of one of `voices`.
        Raises:
            SpeechError: it failed.
        """

    def speak(self, sentence: str, voice: str, speed: float, stop: threading.Event) -> Iterator[Sound]:
        """The sound of one sentence, piece by piece.

        Args:
            sentence: one line, not empty; a `spoken_form`.
            voice: name of one of `voices`.
            speed: 1 is the voice's own.
            stop: when it is set, the engine gives up at once; what it gave so far is thrown away.
        Raises:
            SpeechError: it failed.
        """
