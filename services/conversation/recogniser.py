"""A recogniser behind OpenAI's /v1/audio/transcriptions.

Axes: S audio samples.
"""

from __future__ import annotations

import io
import wave

import httpx2 as httpx
import numpy as np
from numpy.typing import NDArray

from recipe.sound import to_pcm16
from services.errors import RemoteError
from services.remote import Remote


class Recogniser:
    """Writes down what is said; of one event loop."""

    def __init__(self, remote: Remote, model: str) -> None:
        """Nothing is asked yet; see LanguageModel."""
        self._remote, self._model = remote, model
        self._client = httpx.AsyncClient(**remote.options)

    async def transcribe(self, pcm_S: NDArray[np.float32], rate_hz: int) -> str:
        """What is said, without the spaces around it; empty where it hears nobody.

        Raises:
            RemoteError: it cannot be reached, or refuses.
        """
        try:
            answer = await self._client.post(
                self._remote.address("audio/transcriptions"),
                data={"model": self._model, "response_format": "json"},
                files={"file": ("speech.wav", _wav(pcm_S, rate_hz), "audio/wav")},
            )
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self._remote.failed(error) from error
        if answer.status_code != 200:
            raise self._remote.refused(answer.status_code, answer.content)
        try:
            return str(answer.json()["text"]).strip()
        except (ValueError, KeyError, TypeError) as error:
            raise RemoteError(f"the {self._remote.what} does not answer as OpenAI's would") from error

    async def close(self) -> None:
        """Give the connections back."""
        await self._client.aclose()


def _wav(pcm_S: NDArray[np.float32], rate_hz: int) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(to_pcm16(pcm_S).tobytes())
    return buffer.getvalue()
