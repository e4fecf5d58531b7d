"""Debian's program `flite`: English, more natural than espeak-ng, nothing to download.

One process per sentence, which is ended when the listener goes. The program writes a file that it must be able to
seek in: given a pipe, it hangs.

Axes: S audio samples at the engine's rate.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
import tempfile
import threading
import unicodedata
import wave
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from recipe.sound import from_pcm16
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
_LONGEST_S: Final = 60.0  # of computing; a sentence takes a fraction of a second
_POLL_S: Final = 0.02
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
        spoken = _ascii(sentence)
        if not any(character.isalnum() for character in spoken):
            return
        with tempfile.TemporaryDirectory(prefix="flite-") as folder:
            text, result = Path(folder, "sentence.txt"), Path(folder, "sentence.wav")
            text.write_text(spoken, encoding="ascii")  # not on the command line, where other users could read it
            self._run(voice.removeprefix("flite:"), speed, text, result, stop)
            if stop.is_set():
                return
            try:
                with wave.open(str(result), "rb") as file:
                    rate_hz, pcm = file.getframerate(), file.readframes(file.getnframes())
            except (OSError, EOFError, wave.Error) as error:
                raise SpeechError(f"{self._program} wrote no sound that can be read ({error})") from error
        if pcm:
            yield Sound(from_pcm16(pcm), rate_hz)

    def _run(self, voice: str, speed: float, text: Path, result: Path, stop: threading.Event) -> None:
        """Let the program write `result`, unless it is stopped."""
        stretch = ["--setf", f"duration_stretch={1 / speed:.4f}"] if speed != 1 else []
        command = [self._program, "-voice", voice, *stretch, "-f", str(text), "-o", str(result)]
        try:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
            )
        except OSError as error:
            raise SpeechError(f"{self._program} cannot be run ({error})") from error
        waited_s = 0.0
        said = b""
        with process:
            try:
                while process.returncode is None and not stop.is_set() and waited_s < _LONGEST_S:
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        said = process.communicate(timeout=_POLL_S)[1]
                    waited_s += _POLL_S
            finally:
                if process.returncode is None:
                    process.kill()
        if process.returncode != 0 and not stop.is_set():
            reason = said.decode("utf-8", "replace").strip() or f"it took longer than {_LONGEST_S:g} s or was ended"
            raise SpeechError(f"{self._program} ended with code {process.returncode}: {reason}")


def _ascii(sentence: str) -> str:
    decomposed = unicodedata.normalize("NFKD", sentence.translate(_ASCII))
    return "".join(c if c.isascii() else _base_letter(c) for c in decomposed).strip()


def _base_letter(letter: str) -> str:
    """ł -> l, æ -> ae: letters that Unicode does not take apart."""
    found = _LATIN.fullmatch(unicodedata.name(letter, ""))
    return "" if found is None else found[2].lower() if found[1] == "SMALL" else found[2].capitalize()
