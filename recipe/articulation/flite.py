"""Debian's program `flite`, which says which phones it speaks and when; one process a text.

The program writes a file that it must be able to seek in: given a pipe, it hangs.

Axes: S audio samples at the engine's rate.
"""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
import threading
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from recipe.articulation.spoken import SpeechError, Spoken, without_gaps
from recipe.sound import from_pcm16

ALPHABET: Final = "arpabet"
_LONGEST_S: Final = 60.0  # of computing; a sentence takes a fraction of a second
_POLL_S: Final = 0.02


def speak(
    text: str,
    voice: str,
    stretch: float = 1.0,
    *,
    program: str = "flite",
    one_phrase: bool = False,
    stop: threading.Event | None = None,
) -> Spoken | None:
    """Speak a text.

    Args:
        text: ASCII.
        voice: the program's name of it, such as "slt".
        stretch: of every duration; 1 is the voice's own.
        program: its name, or a path.
        one_phrase: speak it in one breath, whatever its punctuation; the text then stands on the command line, where
            other users can read it.
        stop: ends the program at once when it is set.
    Returns:
        The sound with its phones; None where it was stopped, or said nothing.
    Raises:
        SpeechError: it cannot be run, failed, took too long or wrote nothing that can be read.
    """
    with tempfile.TemporaryDirectory(prefix="flite-") as folder:
        file, result = Path(folder, "text.txt"), Path(folder, "sound.wav")
        if not one_phrase:
            file.write_text(text, encoding="ascii")
        stretched = ["--setf", f"duration_stretch={stretch:.4f}"] if stretch != 1 else []
        given = ["-t", text] if one_phrase else ["-f", str(file)]
        said = _run([program, "-voice", voice, *stretched, "-psdur", *given, "-o", str(result)], stop)
        if stop is not None and stop.is_set():
            return None
        try:
            with wave.open(str(result), "rb") as sound:
                rate_hz, pcm = sound.getframerate(), sound.readframes(sound.getnframes())
        except (OSError, EOFError, wave.Error) as error:
            raise SpeechError(f"{program} wrote no sound that can be read ({error})") from error
    if not pcm:
        return None
    pcm_S = from_pcm16(pcm)
    return Spoken(pcm_S, rate_hz, without_gaps(_marks(said), len(pcm_S) / rate_hz, ALPHABET), ALPHABET)


def _marks(said: str) -> Iterator[tuple[str, float]]:
    """Names and begins out of lines like `pau:0.164 hh:0.255`: ends, counted anew in the line of every phrase.

    A phrase's sound ends up to 5 ms before its last phone.
    """
    phrase_s = 0.0
    for line in said.splitlines():
        start_s = phrase_s
        for token in line.split():
            name, _, stop = token.rpartition(":")
            try:
                stop_s = phrase_s + float(stop)
            except ValueError as error:
                raise SpeechError(f"flite named a phone {token!r}, expected NAME:SECONDS") from error
            yield name, start_s
            start_s = stop_s
        phrase_s = start_s


def _run(command: list[str], stop: threading.Event | None) -> str:
    """What the program says of its phones when it has written its file, unless it is stopped."""
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
    except OSError as error:
        raise SpeechError(f"{command[0]} cannot be run ({error})") from error
    waited_s, said, complained = 0.0, "", ""
    stopped = stop or threading.Event()
    with process:
        try:
            while process.returncode is None and not stopped.is_set() and waited_s < _LONGEST_S:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    said, complained = process.communicate(timeout=_POLL_S)
                waited_s += _POLL_S
        finally:
            if process.returncode is None:
                process.kill()
    if process.returncode != 0 and not stopped.is_set():
        reason = complained.strip() or f"it took longer than {_LONGEST_S:g} s or was ended"
        raise SpeechError(f"{command[0]} ended with code {process.returncode}: {reason}")
    return said
