"""An engine of the tests, and what is heard of it."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from services.errors import SpeechError
from services.speech.engine import Sound
from services.types import AudioChunk, Voice

needs_flite = pytest.mark.skipif(shutil.which("flite") is None, reason="the program flite is not installed")


THREE = "First sentence. Second one! And a third?"


class FakeEngine:
    """Says a ramp that depends on the sentence, in pieces of 0.3 s; fails when it is told to."""

    def __init__(self, name: str, languages: Sequence[str] = ("en-US",), rate_hz: int = 16_000, seconds: float = 1.5):
        self.name = name
        self.languages, self.rate_hz, self.seconds = languages, rate_hz, seconds
        self.fail_after: int | None = None  # pieces, over all sentences
        self.pieces = 0
        self.begun: list[str] = []
        self.stopped = 0

    def voices(self) -> Sequence[Voice]:
        return [Voice(f"{self.name}:{language}", self.name, language, language) for language in self.languages]

    def absence(self) -> str:
        return f"{self.name} is not here"

    def version(self, voice: str) -> str:
        return "1"

    def unspoken(self, sentence: str, voice: str) -> str:
        return ""

    def speak(self, sentence: str, voice: str, speed: float, stop: threading.Event) -> Iterator[Sound]:
        self.begun.append(sentence)
        pcm_S = sentence_sound(sentence, round(self.seconds * self.rate_hz / speed))
        step = round(0.3 * self.rate_hz)
        for start in range(0, len(pcm_S), step):
            if self.fail_after is not None and self.pieces >= self.fail_after:
                raise SpeechError(f"{self.name} broke")
            if stop.is_set():
                self.stopped += 1
                return
            self.pieces += 1
            yield Sound(pcm_S[start : start + step], self.rate_hz)


def sentence_sound(sentence: str, samples: int) -> np.ndarray:
    return (np.sin(np.arange(samples) * (0.01 + len(sentence) / 1000)) * 0.7).astype(np.float32)


def joined(chunks: Sequence[AudioChunk]) -> np.ndarray:
    return np.concatenate([chunk.pcm_S for chunk in chunks])
