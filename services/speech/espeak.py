"""espeak-ng out of the Python package espeakng-loader: a hundred languages, nothing to install or to download.

A sentence is given on whole: a listener who pauses does not hold the others up, who wait for the one library.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import Final

from recipe.articulation import espeak
from recipe.articulation.spoken import SpeechError as EngineError
from services.errors import SpeechError
from services.speech.engine import Sound
from services.types import Voice

_WORDS_PER_MINUTE: Final = 175  # the library's own pace


class EspeakTTS:
    """Speech that is always there."""

    name: Final = "espeak"

    def voices(self) -> Sequence[Voice]:
        try:
            found = [_voice(known) for known in espeak.voices()]
        except EngineError:  # `absence` says why
            return ()
        preferred = ("espeak:en-gb", "espeak:en-us")
        return sorted(found, key=lambda voice: (voice.name not in preferred, voice.name))

    def absence(self) -> str:
        try:
            espeak.version()
        except EngineError as error:
            return str(error)
        return "espeak-ng knows no voices; install the package espeakng-loader again"

    def version(self, voice: str) -> str:
        try:
            return espeak.version()
        except EngineError as error:
            raise SpeechError(str(error)) from error

    def speak(self, sentence: str, voice: str, speed: float, stop: threading.Event) -> Iterator[Sound]:
        try:
            spoken = espeak.speak(sentence, voice.removeprefix("espeak:"), round(_WORDS_PER_MINUTE * speed), stop)
        except EngineError as error:
            raise SpeechError(str(error)) from error
        if len(spoken.pcm_S) and not stop.is_set():
            yield Sound(*spoken)


def _voice(known: espeak.EspeakVoice) -> Voice:
    return Voice(f"espeak:{known.language}", "espeak", _bcp47(known.language), f"{known.label} (eSpeak NG)")


def _bcp47(language: str) -> str:
    """en-gb-x-rp -> en-GB-x-rp: a region is written in capitals."""
    head, *rest = language.split("-")
    private = rest.index("x") if "x" in rest else len(rest)
    return "-".join([head, *(p.upper() if i < private and len(p) == 2 else p for i, p in enumerate(rest))])
