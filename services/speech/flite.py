"""Debian's program `flite`: English, more natural than espeak-ng, nothing to download.

One process per sentence, which is ended when the listener goes.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import threading
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Final

from recipe.articulation import flite
from recipe.articulation.spoken import SpeechError as EngineError
from services.errors import SpeechError
from services.speech.engine import Sound
from services.speech.languages import needs_a_sound, unique
from services.types import Voice

_VOICES: Final = {
    "slt": Voice("flite:slt", "flite", "en-US", "SLT, woman, US English (Flite)"),
    "rms": Voice("flite:rms", "flite", "en-US", "RMS, man, US English (Flite)"),
    "awb": Voice("flite:awb", "flite", "en-GB", "AWB, man, Scottish English (Flite)"),
    "kal16": Voice("flite:kal16", "flite", "en-US", "KAL, man, US English, robotic (Flite)"),
}
_LATIN: Final = re.compile(r"LATIN (SMALL|CAPITAL) (?:LETTER|LIGATURE) (?:DOTLESS )?([A-Z]{1,2})(?: WITH .*)?")
# The program reads ASCII; what has no such spelling is `unspoken`.
_ASCII: Final = str.maketrans(
    {
        "’": "'", "‘": "'", "“": '"', "”": '"', "–": " - ", "—": " - ", "…": "...",
        "ß": "ss", "ð": "th", "Ð": "Th", "þ": "th", "Þ": "Th", "ŋ": "ng", "Ŋ": "Ng",
    }
)  # fmt: skip


class FliteTTS:
    """Speech by the program flite."""

    name: Final = "flite"

    def __init__(self, program: str = "flite") -> None:
        """Remember the program; it is looked for when it is needed.

        Args:
            program: its name, or a path.
        """
        self._program = program
        self._version: str | None = None

    def voices(self) -> Sequence[Voice]:
        return () if shutil.which(self._program) is None else tuple(_VOICES.values())

    def absence(self) -> str:
        return f"there is no program {self._program}; on Debian and Ubuntu: apt install flite"

    def version(self, voice: str) -> str:
        if self._version is None:
            try:
                done = subprocess.run(
                    [self._program, "--version"], capture_output=True, text=True, check=False, timeout=10,
                    stdin=subprocess.DEVNULL,
                )  # fmt: skip
            except (OSError, subprocess.TimeoutExpired) as error:
                raise SpeechError(f"{self._program} cannot be run ({error})") from error
            self._version = " ".join(done.stdout.split())
        return self._version

    def unspoken(self, sentence: str, voice: str) -> str:
        return unique(c for c in sentence if not c.isascii() and needs_a_sound(c) and not _ascii(c))

    def speak(self, sentence: str, voice: str, speed: float, stop: threading.Event) -> Iterator[Sound]:
        spelled = _ascii(sentence)
        if not any(character.isalnum() for character in spelled):
            return
        try:
            spoken = flite.speak(spelled, voice.removeprefix("flite:"), 1 / speed, program=self._program, stop=stop)
        except EngineError as error:
            raise SpeechError(str(error)) from error
        if spoken is not None:
            yield Sound(*spoken)


def _ascii(sentence: str) -> str:
    decomposed = unicodedata.normalize("NFKD", sentence.translate(_ASCII))
    return "".join(c if c.isascii() else _base_letter(c) for c in decomposed).strip()


def _base_letter(letter: str) -> str:
    """ł -> l, æ -> ae: letters that Unicode does not take apart."""
    found = _LATIN.fullmatch(unicodedata.name(letter, ""))
    return "" if found is None else found[2].lower() if found[1] == "SMALL" else found[2].capitalize()
