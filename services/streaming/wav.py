"""Speech as a WAV file.

Axes: S audio samples.
"""

from __future__ import annotations

import io
import wave
from collections.abc import Generator
from contextlib import closing
from itertools import chain

from recipe.sound import to_pcm16
from services.types import AudioChunk


def spoken_wav(chunks: Generator[AudioChunk, None, None]) -> Generator[bytes, None, None]:
    """The whole file as one piece, once everything was said; closing the generator stops the voice.

    Args:
        chunks: of an utterance, at least one.
    Raises:
        SpeechError: the voice failed.
    """
    buffer = io.BytesIO()
    with closing(chunks):
        first = next(chunks)  # before the file: one that is closed without a rate raises an error of its own
        with wave.open(buffer, "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(first.sample_rate_hz)
            for chunk in chain([first], chunks):
                file.writeframes(to_pcm16(chunk.pcm_S).tobytes())
    yield buffer.getvalue()


def wav_seconds(wav: bytes) -> float:
    """How long a whole WAV file is."""
    with wave.open(io.BytesIO(wav), "rb") as file:
        return file.getnframes() / file.getframerate()
