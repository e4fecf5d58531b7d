"""Speech with phone times from the two embedded engines: flite and espeak-ng; or from files.

A voice is named `ENGINE:NAME`: `flite:slt`, `espeak:en-us`, `espeak:en+f2`; a bare name is flite's.
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import gcd
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from recipe.articulation.visemes import Phone
from recipe.sound import from_pcm16

SAMPLE_RATE_HZ = 16_000
FLITE_VOICES = ("slt", "rms", "awb", "kal16", "kal")
_ESPEAK_WORDS_PER_MINUTE = 165
_FLITE_STRETCH = 1.04


class SpeechError(RuntimeError):
    """An engine or a file could not give speech with phone times."""


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
        return tuple(replace(p, start_s=p.start_s + by_s, stop_s=p.stop_s + by_s) for p in self.phones)


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


def _without_gaps(phones: list[Phone], duration_s: float) -> tuple[Phone, ...]:
    """Extend the last phone to the end of the sound."""
    if not phones:
        return (Phone("pau", 0.0, duration_s),)
    return (*phones[:-1], replace(phones[-1], stop_s=max(duration_s, phones[-1].start_s)))


def _flite(text: str, voice: str, rate: float) -> Speech:
    program = shutil.which("flite")
    if program is None:
        raise SpeechError("flite is not installed; on Debian: apt-get install flite, or choose an espeak: voice")
    with tempfile.TemporaryDirectory() as folder:
        wav = Path(folder) / "speech.wav"
        stretch = f"duration_stretch={_FLITE_STRETCH / rate:.4f}"
        command = [program, "-voice", voice, "--setf", stretch, "-psdur", "-t", text, "-o", str(wav)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode or not wav.is_file():
            raise SpeechError(f"flite failed on {text[:60]!r}: {done.stderr.strip() or done.returncode}")
        pcm, rate_hz = soundfile.read(wav, dtype="float32")
    phones, start = [], 0.0
    for token in done.stdout.split():
        name, _, stop = token.rpartition(":")
        phones.append(Phone(name, start, float(stop)))
        start = float(stop)
    pcm = _resampled(pcm, rate_hz)
    return Speech(pcm, _without_gaps(phones, len(pcm) / SAMPLE_RATE_HZ), "arpabet")


class _EspeakIdentity(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _EspeakEvent(ctypes.Structure):
    """`espeak_EVENT` of espeak-ng's speak_lib.h."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position_ms", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _EspeakIdentity),
    )


_ESPEAK_SYNCHRONOUS, _ESPEAK_PHONES_AS_IPA, _ESPEAK_PHONE_EVENT, _ESPEAK_UTF8, _ESPEAK_RATE = 2, 3, 7, 1, 1


def _espeak(text: str, voice: str, rate: float) -> Speech:
    """espeak-ng by its library; not thread-safe."""
    import espeakng_loader

    library = ctypes.CDLL(espeakng_loader.get_library_path())
    data = str(Path(espeakng_loader.get_data_path()).parent).encode()
    rate_hz = library.espeak_Initialize(_ESPEAK_SYNCHRONOUS, 200, data, _ESPEAK_PHONES_AS_IPA)
    if rate_hz <= 0 or library.espeak_SetVoiceByName(voice.encode()) != 0:
        raise SpeechError(f"espeak-ng has no voice {voice!r}; examples: en-us, en, en-gb-scotland, en-us+f3, en-us+m5")
    library.espeak_SetParameter(_ESPEAK_RATE, int(_ESPEAK_WORDS_PER_MINUTE * rate), 0)
    sound, marks = bytearray(), []

    def receive(wave: int | None, samples: int, events: ctypes._Pointer[_EspeakEvent]) -> int:
        if wave and samples > 0:
            sound.extend(ctypes.string_at(wave, samples * 2))
        i = 0
        while events[i].type:
            if events[i].type == _ESPEAK_PHONE_EVENT:
                marks.append((events[i].audio_position_ms / 1000, events[i].id.string.decode("utf8", "ignore")))
            i += 1
        return 0

    prototype = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.POINTER(_EspeakEvent))
    callback = prototype(receive)  # kept referenced while the library may call it
    library.espeak_SetSynthCallback(callback)
    encoded = text.encode()
    library.espeak_Synth(encoded, ctypes.c_size_t(len(encoded) + 1), 0, 1, 0, _ESPEAK_UTF8, None, None)
    library.espeak_Synchronize()
    pcm = _resampled(from_pcm16(bytes(sound)), rate_hz)
    duration_s = len(pcm) / SAMPLE_RATE_HZ
    starts = [min(start, duration_s) for start, _ in marks]
    phones = [Phone("_", 0.0, starts[0])] if starts and starts[0] > 0 else []
    stops = [*starts[1:], duration_s]
    phones += [Phone(name or "_", a, b) for (_, name), a, b in zip(marks, starts, stops, strict=True) if b > a]
    return Speech(pcm, _without_gaps(phones, duration_s), "ipa")


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
    return Speech(mono, _without_gaps(found, len(mono) / SAMPLE_RATE_HZ), alphabet)
