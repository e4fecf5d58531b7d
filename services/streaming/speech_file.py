"""Speech as the file that a client asks for, sent while it is spoken: MP3, Opus, AAC, FLAC by PyAV, or bare samples.

Axes: S audio samples.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from typing import Final, NamedTuple

import av
import numpy as np
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream

from recipe.sound import to_pcm16
from services.streaming.wav import spoken_wav
from services.types import AudioChunk

Chunks = Generator[AudioChunk, None, None]
PCM_RATE_HZ: Final = 24_000  # of bare samples, which do not say their rate: OpenAI's


class _Coding(NamedTuple):
    container: str
    codec: str
    rate_hz: int


_CODINGS: Final = {
    "mp3": _Coding("mp3", "libmp3lame", 24_000),
    "opus": _Coding("ogg", "libopus", 48_000),
    "aac": _Coding("adts", "aac", 24_000),
    "flac": _Coding("flac", "flac", 24_000),
}
MEDIA_TYPES: Final = {
    "mp3": "audio/mpeg",
    "opus": "audio/ogg",
    "aac": "audio/aac",
    "flac": "audio/flac",
    "wav": "audio/wav",
    "pcm": "audio/pcm",
}


def encoder(form: str) -> Callable[[Chunks], Generator[bytes, None, None]]:
    """What makes a file of speech: one of MEDIA_TYPES. WAV comes in one piece, since it begins with its length."""
    if form == "wav":
        return spoken_wav
    return _bare if form == "pcm" else lambda chunks: _coded(chunks, _CODINGS[form])


def _bare(chunks: Chunks) -> Generator[bytes, None, None]:
    with closing(chunks):
        for frame in _resampled(chunks, PCM_RATE_HZ):
            yield frame.to_ndarray().astype("<i2").tobytes()


class _Pipe:
    """A file that is taken away while it is written."""

    def __init__(self) -> None:
        self._written = bytearray()

    def write(self, data: bytes) -> int:
        self._written += data
        return len(data)

    def taken(self) -> bytes:
        data, self._written = bytes(self._written), bytearray()
        return data


def _coded(chunks: Chunks, coding: _Coding) -> Generator[bytes, None, None]:
    pipe = _Pipe()
    with closing(chunks), av.open(pipe, "w", format=coding.container) as container:
        stream = container.add_stream(coding.codec, rate=coding.rate_hz, layout="mono")
        assert isinstance(stream, AudioStream)
        for frame in _resampled(chunks, coding.rate_hz):
            container.mux(stream.encode(frame))
            if data := pipe.taken():
                yield data
        container.mux(stream.encode(None))
    if data := pipe.taken():
        yield data


def _resampled(chunks: Iterator[AudioChunk], rate_hz: int) -> Iterator[av.AudioFrame]:
    resampler = AudioResampler(format="s16", layout="mono", rate=rate_hz)
    for chunk in chunks:
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(to_pcm16(chunk.pcm_S)[None]), format="s16", layout="mono"
        )
        frame.sample_rate = chunk.sample_rate_hz
        yield from resampler.resample(frame)
    yield from resampler.resample(None)
