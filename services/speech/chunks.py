"""From what engines give to chunks that every consumer can take: frame-exact rates, a second at most, 16-bit levels.

Axes: S audio samples at the engine's rate.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import av
import numpy as np
from av.audio.resampler import AudioResampler

from recipe.articulation.spoken import later
from recipe.articulation.visemes import Phone
from recipe.recipe_328 import FPS
from services.errors import SpeechError
from services.speech.cache import to_16_bits
from services.speech.engine import Sound


def regular_sound(sounds: Iterable[Sound]) -> Iterator[Sound]:
    """The same sound in pieces of at most a second, at the nearest rate that 25 frames a second divide.

    Phones come with the first piece of the sound that told them, in seconds from the begin of the first sound.
    """
    told = _Told()
    for piece in _regular(told.by(sounds)):
        yield piece._replace(phones=told.taken(), alphabet=told.alphabet)


class _Told:
    """Phones of the sounds that went by, until a piece takes them along."""

    def __init__(self) -> None:
        self.alphabet = ""
        self._phones: tuple[Phone, ...] | None = None
        self._passed_s = 0.0

    def by(self, sounds: Iterable[Sound]) -> Iterator[Sound]:
        for sound in sounds:
            if sound.phones is not None:
                self._phones = (*(self._phones or ()), *later(sound.phones, self._passed_s))
                self.alphabet = sound.alphabet
            self._passed_s += len(sound.pcm_S) / sound.rate_hz
            yield sound

    def taken(self) -> tuple[Phone, ...] | None:
        taken, self._phones = self._phones, None if self._phones is None else ()
        return taken


def _regular(sounds: Iterable[Sound]) -> Iterator[Sound]:
    rate_hz = 0
    resampler: AudioResampler | None = None
    for sound in sounds:
        if not rate_hz:
            rate_hz = sound.rate_hz
            if rate_hz % FPS:
                resampler = AudioResampler(format="flt", layout="mono", rate=_frame_exact(rate_hz))
        if sound.rate_hz != rate_hz:
            raise SpeechError(f"the engine changed its sample rate from {rate_hz} to {sound.rate_hz} Hz in a sentence")
        if resampler is None:
            yield from _cut(sound)
        elif len(sound.pcm_S):
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(sound.pcm_S)[None], format="flt", layout="mono")
            frame.sample_rate = rate_hz
            yield from _resampled(resampler, frame)
    if resampler is not None:
        yield from _resampled(resampler, None)


def _frame_exact(rate_hz: int) -> int:
    return max(round(rate_hz / FPS), 1) * FPS


def _resampled(resampler: AudioResampler, frame: av.AudioFrame | None) -> Iterator[Sound]:
    for part in resampler.resample(frame):
        yield from _cut(Sound(part.to_ndarray()[0], part.sample_rate))


def _cut(sound: Sound) -> Iterator[Sound]:
    for start in range(0, len(sound.pcm_S), sound.rate_hz):
        yield Sound(to_16_bits(sound.pcm_S[start : start + sound.rate_hz]), sound.rate_hz)


def joined(pieces: Sequence[Sound]) -> Sound:
    """The pieces of one sentence, as `regular_sound` gives them, as one sound."""
    pcm_S = np.concatenate([piece.pcm_S for piece in pieces])
    told = [piece.phones for piece in pieces if piece.phones is not None]
    phones = tuple(phone for phones in told for phone in phones) if told else None
    return Sound(pcm_S, pieces[0].rate_hz, phones, pieces[0].alphabet)
