"""A voice behind OpenAI's /v1/audio/speech, as one more engine; 24 kHz, spoken on while it arrives.

Axes: S audio samples.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator, Sequence
from typing import Final

import httpx2 as httpx

from recipe.sound import from_pcm16
from services.errors import SpeechError
from services.remote import Remote
from services.speech.engine import Sound
from services.types import Voice

_RATE_HZ: Final = 24_000  # of "pcm" there
_PIECE_BYTES: Final = 9600  # 0.2 s


class RemoteTTS:
    """Speech by another server."""

    name: Final = "remote"

    def __init__(self, remote: Remote, model: str, voices: Sequence[str], language: str) -> None:
        """Nothing is asked yet.

        Args:
            remote: where it is.
            model: its name there.
            voices: their names there, the best first.
            language: that they speak (BCP 47).
        """
        self._remote, self._model = remote, model
        self._voices = tuple(Voice(f"{self.name}:{one}", self.name, language, f"{one} ({model})") for one in voices)
        self._client = httpx.Client(**remote.options)
        weakref.finalize(self, self._client.close)

    def voices(self) -> Sequence[Voice]:
        return self._voices

    def absence(self) -> str:
        return "no voice of it is named; set AVATAR328_TTS__REMOTE_VOICES"

    def version(self, voice: str) -> str:
        return f"{self._remote.url} {self._model}"

    def unspoken(self, sentence: str, voice: str) -> str:
        return ""  # nobody says what it cannot speak

    def speak(self, sentence: str, voice: str, speed: float, stop: threading.Event) -> Iterator[Sound]:
        asked = {
            "model": self._model,
            "input": sentence,
            "voice": voice.removeprefix(f"{self.name}:"),
            "response_format": "pcm",
            "speed": speed,
        }
        try:
            with self._client.stream("POST", self._remote.address("audio/speech"), json=asked) as answer:
                if answer.status_code != 200:
                    raise SpeechError(str(self._remote.refused(answer.status_code, answer.read())))
                held = b""
                for piece in answer.iter_bytes(_PIECE_BYTES):
                    if stop.is_set():
                        return
                    held += piece
                    whole = len(held) // 2 * 2
                    yield Sound(from_pcm16(held[:whole]), _RATE_HZ)
                    held = held[whole:]
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise SpeechError(str(self._remote.failed(error))) from error
