"""espeak-ng out of the Python package espeakng-loader: a hundred languages, nothing to install or to download.

A sentence is given on whole: a listener who pauses does not hold the others up, who wait for the one library.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Final

from recipe.articulation import espeak
from recipe.articulation.spoken import SpeechError as EngineError
from services.errors import SpeechError
from services.speech.engine import Sound
from services.speech.languages import foreign_letters, needs_a_sound, script_of, unique
from services.types import Voice

_WORDS_PER_MINUTE: Final = 175  # the library's own pace
_RARE: Final = "龘䶵"  # two ideographs: a language that says both alike only says what kind they are


def unspoken_by_espeak(text: str, voice: str, language: str) -> str:
    """The characters of a text that espeak-ng leaves out, or only names ("Chinese letter"); each once.

    Args:
        text: as it would be spoken.
        voice: espeak-ng's name of a voice, "en-gb".
        language: of that voice, BCP 47.
    Raises:
        SpeechError: there is no such voice, or no library.
    """
    foreign = foreign_letters(text, language)
    asked = (c for c in text if not c.isascii() and c not in foreign and needs_a_sound(c))
    return foreign + unique(c for c in asked if not _has_a_sound(c, voice))


@lru_cache(maxsize=8192)
def _has_a_sound(character: str, voice: str) -> bool:
    script = script_of(character)
    if script and script != "CJK":
        return True  # a letter of the language; a sign for length has no sound of its own
    try:
        said = espeak.phonemes(character, voice)
        if script == "CJK":
            kind, other = (espeak.phonemes(rare, voice) for rare in _RARE)
            return said != kind or kind != other
    except EngineError as error:
        raise SpeechError(str(error)) from error
    return bool(said)


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

    def unspoken(self, sentence: str, voice: str) -> str:
        language = voice.removeprefix("espeak:")
        return unspoken_by_espeak(sentence, language, bcp47(language))

    def speak(self, sentence: str, voice: str, speed: float, stop: threading.Event) -> Iterator[Sound]:
        try:
            spoken = espeak.speak(sentence, voice.removeprefix("espeak:"), round(_WORDS_PER_MINUTE * speed), stop)
        except EngineError as error:
            raise SpeechError(str(error)) from error
        if len(spoken.pcm_S) and not stop.is_set():
            yield Sound(*spoken)


def _voice(known: espeak.EspeakVoice) -> Voice:
    return Voice(f"espeak:{known.language}", "espeak", bcp47(known.language), f"{known.label} (eSpeak NG)")


def bcp47(language: str) -> str:
    """en-gb-x-rp -> en-GB-x-rp: a region is written in capitals."""
    head, *rest = language.split("-")
    private = rest.index("x") if "x" in rest else len(rest)
    return "-".join([head, *(p.upper() if i < private and len(p) == 2 else p for i, p in enumerate(rest))])
