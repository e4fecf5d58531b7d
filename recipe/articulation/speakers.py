"""Speech with phone times from the two embedded engines: flite and espeak-ng; or from files.

A voice is named `ENGINE:NAME`: `flite:slt`, `espeak:en-us`, `espeak:en+f2`; a bare name is flite's.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import gcd
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from recipe.articulation import espeak, flite
from recipe.articulation.spoken import SpeechError as SpeechError
from recipe.articulation.spoken import Spoken, later, without_gaps
from recipe.articulation.visemes import Phone

SAMPLE_RATE_HZ = 16_000
FLITE_VOICES = ("slt", "rms", "awb", "kal16", "kal")
_ESPEAK_WORDS_PER_MINUTE = 165
_FLITE_STRETCH = 1.04


@dataclass(frozen=True)
class Speech:
    """Mono sound at SAMPLE_RATE_HZ and its phones, in order and without gaps."""

    pcm_S: NDArray[np.float32]
    phones: tuple[Phone, ...]
    alphabet: str  # one of visemes.ALPHABETS

    @property
    def duration_s(self) -> float:
        """Length of the sound."""
        return len(self.pcm_S) / SAMPLE_RATE_HZ

    def shifted(self, by_s: float) -> tuple[Phone, ...]:
        """The phones, later."""
        return later(self.phones, by_s)


def speaker(voice: str, rate: float = 1.0) -> Callable[[str], Speech]:
    """The engine for a voice, as a function from text to speech.

    Args:
        voice: `flite:NAME`, `espeak:NAME` or a flite voice's bare name.
        rate: 1 is the voice's own speed, 1.3 is faster.
    Raises:
        SpeechError: unknown engine or voice.
    """
    engine, _, name = voice.rpartition(":")
    if engine in ("", "flite") and name in FLITE_VOICES:
        return lambda text: _flite(text, name, rate)
    if engine == "espeak" and name:
        return lambda text: _espeak(text, name, rate)
    raise SpeechError(
        f"voice {voice!r} is unknown; choose flite:{{{','.join(FLITE_VOICES)}}} or espeak:NAME such as espeak:en-us"
    )


def _resampled(pcm: NDArray[np.float32], rate_hz: int) -> NDArray[np.float32]:
    if rate_hz == SAMPLE_RATE_HZ:
        return pcm
    from scipy.signal import resample_poly  # here: it takes 2 s, and flite's slt needs none

    common = gcd(rate_hz, SAMPLE_RATE_HZ)
    return np.asarray(resample_poly(pcm, SAMPLE_RATE_HZ // common, rate_hz // common), np.float32)


def _at_16_khz(spoken: Spoken) -> Speech:
    """The phones still cover the whole sound, whose length may have been rounded."""
    pcm_S = _resampled(spoken.pcm_S, spoken.rate_hz)
    marks = [(phone.name, phone.start_s) for phone in spoken.phones]
    return Speech(pcm_S, without_gaps(marks, len(pcm_S) / SAMPLE_RATE_HZ, spoken.alphabet), spoken.alphabet)


def _flite(text: str, voice: str, rate: float) -> Speech:
    if shutil.which("flite") is None:
        raise SpeechError("flite is not installed; on Debian: apt-get install flite, or choose an espeak: voice")
    spoken = flite.speak(text, voice, _FLITE_STRETCH / rate, one_phrase=True)
    if spoken is None:
        raise SpeechError(f"flite has no sound for {text[:60]!r}")
    return _at_16_khz(spoken)


def _espeak(text: str, voice: str, rate: float) -> Speech:
    return _at_16_khz(espeak.speak(text, voice, int(_ESPEAK_WORDS_PER_MINUTE * rate)))


def read_speech(wav: Path, phones: Path, alphabet: str = "arpabet") -> Speech:
    """Speech from a sound file and a table of its phones: one line `start_s stop_s phone` each.

    Raises:
        SpeechError: a line cannot be read, or times run backwards.
    """
    pcm, rate_hz = soundfile.read(wav, dtype="float32", always_2d=True)
    found: list[Phone] = []
    for number, line in enumerate(phones.read_text().splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            start, stop, name = line.split()
            found.append(Phone(name, float(start), float(stop)))
        except ValueError as error:
            raise SpeechError(f"{phones}, line {number}: got {line!r}, expected `start_s stop_s phone`") from error
        if found[-1].stop_s < found[-1].start_s or (len(found) > 1 and found[-1].start_s < found[-2].stop_s - 1e-6):
            raise SpeechError(f"{phones}, line {number}: times must grow from line to line")
    mono = _resampled(pcm.mean(1, dtype=np.float32), rate_hz)
    duration_s = len(mono) / SAMPLE_RATE_HZ
    if not found:
        return Speech(mono, without_gaps([], duration_s, alphabet), alphabet)
    last = replace(found[-1], stop_s=max(duration_s, found[-1].start_s))
    return Speech(mono, (*found[:-1], last), alphabet)
