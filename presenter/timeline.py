"""Lays spoken sentences out over a recording: closed-mouth silence at both ends, pauses inside."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from presenter.defaults import END_SILENCE_S
from recipe.articulation.speakers import SAMPLE_RATE_HZ, Speech
from recipe.articulation.visemes import Phone

FPS = 25
SAMPLES_PER_FRAME = SAMPLE_RATE_HZ // FPS
_PAUSE_S = (0.25, 0.70)  # between sentences
_PARAGRAPH_PAUSE_S = (0.9, 2.2)
_PEAK = 0.7


@dataclass(frozen=True)
class Timeline:
    """The sound of a recording and what is said when; `len(pcm_S)` is a whole number of frames."""

    pcm_S: NDArray[np.float32]
    phones: tuple[Phone, ...]
    alphabet: str
    sentences: tuple[tuple[float, float, str], ...]  # start, stop (seconds), text

    @property
    def frames(self) -> int:
        """Video frames of the recording."""
        return len(self.pcm_S) // SAMPLES_PER_FRAME

    @property
    def duration_s(self) -> float:
        """Length of the recording."""
        return self.frames / FPS


def read_sentences(path: Path) -> list[list[str]]:
    """Sentences by paragraph; paragraphs are parted by empty lines."""
    paragraphs = re.split(r"\n\s*\n", path.read_text().strip())
    return [re.split(r"(?<=[.!?])\s+", " ".join(paragraph.split())) for paragraph in paragraphs if paragraph.strip()]


def speak_text(
    paragraphs: list[list[str]],
    synthesize: Callable[[str], Speech],
    duration_s: float,
    seed: int,
    silence_s: float = END_SILENCE_S,
) -> Timeline:
    """Speak as many sentences as fit into a recording of exactly the given length.

    Args:
        silence_s: least silence at the start and at the end.
    Raises:
        ValueError: not even one sentence fits, or the text ends more than 15 s too early.
    """
    rng, at_s = np.random.default_rng([seed, 1]), silence_s
    spoken: list[tuple[float, str, Speech]] = []
    alphabet, left_over = "arpabet", False
    for paragraph in paragraphs:
        for first, sentence in zip([True] + [False] * (len(paragraph) - 1), paragraph, strict=True):
            pause = rng.uniform(*(_PARAGRAPH_PAUSE_S if first else _PAUSE_S)) if spoken else 0.0
            speech = synthesize(sentence)
            if at_s + pause + speech.duration_s > duration_s - silence_s:
                left_over = True
                break
            at_s += pause
            spoken.append((at_s, sentence, speech))
            at_s, alphabet = at_s + speech.duration_s, speech.alphabet
        if left_over:
            break
    if not spoken:
        raise ValueError(f"no sentence fits into {duration_s:.0f} s with {silence_s:.0f} s of silence at both ends")
    if not left_over and duration_s - silence_s - at_s > 15:
        raise ValueError(
            f"the text lasts until {at_s:.0f} s, but the recording shall last {duration_s:.0f} s with the final "
            f"{silence_s:.0f} s silent; give a longer text or fewer minutes"
        )
    return _laid_out(spoken, alphabet, duration_s)


def around_speech(speech: Speech, silence_s: float, text: str = "") -> Timeline:
    """One given speech between silences."""
    duration_s = np.ceil((speech.duration_s + 2 * silence_s) * FPS) / FPS
    return _laid_out([(silence_s, text, speech)], speech.alphabet, float(duration_s))


def _laid_out(spoken: list[tuple[float, str, Speech]], alphabet: str, duration_s: float) -> Timeline:
    frames = round(duration_s * FPS)
    pcm = np.zeros(frames * SAMPLES_PER_FRAME, np.float32)
    silent = "pau" if alphabet == "arpabet" else "_"
    phones: list[Phone] = []
    sentences = []
    for start_s, text, speech in spoken:
        first = round(start_s * SAMPLE_RATE_HZ)
        pcm[first : first + len(speech.pcm_S)] += speech.pcm_S[: len(pcm) - first]
        before = phones[-1].stop_s if phones else 0.0
        phones += [Phone(silent, before, start_s), *speech.shifted(start_s)]
        sentences.append((start_s, start_s + speech.duration_s, text))
    phones.append(Phone(silent, phones[-1].stop_s, frames / FPS))
    pcm *= _PEAK / max(float(np.abs(pcm).max()), 1e-6)
    return Timeline(pcm, tuple(phones), alphabet, tuple(sentences))
