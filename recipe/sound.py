"""Sound: any file as 16 kHz mono for the networks, or at its own rate for listeners; samples as 16 bits and back.

Axes: C channels, S audio samples (16 kHz unless it says another rate).
"""

from __future__ import annotations

import wave
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import av
import numpy as np
from av.audio.resampler import AudioResampler
from numpy.typing import NDArray

from recipe.downmix import louder_channel, only_channel
from recipe.errors import NoAudioError
from recipe.media import decode_sound, frame_time, open_media, sound_stream
from recipe.recipe_328 import SAMPLE_RATE_HZ

_FULL_SCALE: Final = 32768.0
# Rates AAC knows and 25 divides; higher ones become the last.
_AAC_RATES_HZ: Final = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
_GAP_S: Final = 0.04  # a jump of the time stamps by more is a gap in the recording, by less it is rounding


def iter_audio(path: Path, chunk_samples: int = SAMPLE_RATE_HZ) -> Iterator[NDArray[np.float32]]:
    """Decode any sound file, or the sound of a video, piece by piece in constant memory.

    Args:
        path: anything PyAV decodes.
        chunk_samples: length of the pieces; the last one is shorter.
    Returns:
        float32 samples in [-1, 1], 16 kHz mono. The pieces joined are the same for every chunk_samples.
    Raises:
        NotAVideoError, NoAudioError: nothing to hear in this file.
    """
    if chunk_samples < 1:
        raise ValueError(f"chunk_samples is {chunk_samples}; it must be at least 1")
    return _rechunk((block for _, block in mono_blocks(path, keep_time=False)), chunk_samples)


def load_audio(path: Path) -> NDArray[np.float32]:
    """Decode a whole sound file: `iter_audio` joined."""
    return _join(list(iter_audio(path)))


def to_pcm16(pcm_S: NDArray[np.floating]) -> NDArray[np.int16]:
    """Samples in [-1, 1] as 16 bits; what lies beyond, and 1 itself, becomes the largest there is."""
    return np.clip(np.round(pcm_S * _FULL_SCALE), -_FULL_SCALE, _FULL_SCALE - 1).astype("<i2")


def from_pcm16(pcm: bytes | NDArray[np.int16]) -> NDArray[np.float32]:
    """16-bit samples, or their little-endian bytes, as float32 in [-1, 1)."""
    levels_S = np.frombuffer(pcm, "<i2") if isinstance(pcm, bytes) else pcm
    return levels_S.astype(np.float32) / np.float32(_FULL_SCALE)


def write_wav(path: Path, pcm_S: NDArray[np.float32]) -> None:
    """Write 16 kHz mono PCM16."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE_HZ)
        file.writeframes(to_pcm16(pcm_S).tobytes())


def read_wav(path: Path) -> NDArray[np.float32]:
    """Read what `write_wav` wrote.

    Raises:
        ValueError: it is not 16 kHz mono PCM16.
    """
    with wave.open(str(path), "rb") as file:
        found = file.getframerate(), file.getnchannels(), file.getsampwidth()
        if found != (SAMPLE_RATE_HZ, 1, 2):
            raise ValueError(
                f"{path}: expected {SAMPLE_RATE_HZ} Hz, 1 channel, 2 bytes per sample, found {found}: prepare it again"
            )
        return from_pcm16(file.readframes(file.getnframes()))


@dataclass(frozen=True, slots=True)
class SoundTrack:
    """Sound for the file, piece by piece: float32 (C, S) in [-1, 1]."""

    rate_hz: int
    channels: int
    duration_s: float | None  # as the file's header says, if it does
    blocks: Iterator[NDArray[np.float32]]


def original_sound(path: Path) -> SoundTrack:
    """The sound of a file at its own rate, mono or stereo, in constant memory.

    Channels that cancel each other become one: a listener with one loudspeaker would hear nothing. Its first sample
    is the first sample of `iter_audio`.

    Raises:
        NotAVideoError, NoAudioError: nothing to hear in this file.
    """
    with open_media(path, pictures=False) as container:
        context = sound_stream(container, path).codec_context
        channels = min(context.channels, 2)
        channel = louder_channel(path) if channels == 2 else None
        channels = channels if channel is None else 1
        rate_hz = next((rate for rate in _AAC_RATES_HZ if rate >= context.sample_rate), _AAC_RATES_HZ[-1])
        duration_s = None if container.duration is None else container.duration / av.time_base
    return SoundTrack(rate_hz, channels, duration_s, _original_blocks(path, rate_hz, channels, channel))


def _original_blocks(path: Path, rate_hz: int, channels: int, channel: int | None) -> Iterator[NDArray[np.float32]]:
    resampler: AudioResampler | None = None
    form = None
    with open_media(path, pictures=False) as container:
        for frame in decode_sound(container, sound_stream(container, path)):
            if form != (frame.format.name, frame.layout.name, frame.sample_rate):
                yield from _drain(resampler)
                form = (frame.format.name, frame.layout.name, frame.sample_rate)
                resampler = AudioResampler(format="fltp", layout="stereo" if channels == 2 else "mono", rate=rate_hz)
            assert resampler is not None
            frame.pts = None
            heard = frame if channel is None else only_channel(frame, channel)
            yield from (np.asarray(part.to_ndarray(), np.float32) for part in resampler.resample(heard))
        yield from _drain(resampler)


def _drain(resampler: AudioResampler | None) -> Iterator[NDArray[np.float32]]:
    if resampler is not None:
        yield from (np.asarray(part.to_ndarray(), np.float32) for part in resampler.resample(None))


def mono_blocks(path: Path, keep_time: bool) -> Iterator[tuple[float, NDArray[np.float32]]]:
    """16 kHz mono blocks with the time of the first one; the blocks follow each other without gaps.

    keep_time: fill gaps in the time stamps (a camera that dropped sound, undecodable packets) with silence.
    """
    resampler: AudioResampler | None = None
    form: tuple[str, str, int] | None = None
    start_s = expected_s = 0.0
    channel = louder_channel(path)
    with open_media(path, pictures=False) as container:
        for frame in decode_sound(container, sound_stream(container, path)):
            now_s = frame_time(frame)
            if (frame.format.name, frame.layout.name, frame.sample_rate) != form:
                for block in _flush(resampler):
                    yield start_s, block
                if form is None:
                    start_s = expected_s = now_s
                form = frame.format.name, frame.layout.name, frame.sample_rate
                resampler = AudioResampler(format="flt", layout="mono", rate=SAMPLE_RATE_HZ)
            assert resampler is not None
            if keep_time and now_s - expected_s > _GAP_S:
                for block in _flush(resampler):
                    yield start_s, block
                resampler = AudioResampler(format="flt", layout="mono", rate=SAMPLE_RATE_HZ)
                yield start_s, np.zeros(round((now_s - expected_s) * SAMPLE_RATE_HZ), np.float32)
                expected_s = now_s
            if keep_time and expected_s - now_s > _GAP_S:
                continue  # heard already: the time stamps jumped back
            expected_s += frame.samples / frame.sample_rate
            frame.pts = None
            for resampled in resampler.resample(frame if channel is None else only_channel(frame, channel)):
                yield start_s, _samples(resampled)
        for block in _flush(resampler):
            yield start_s, block
    if form is None:
        raise NoAudioError(f"the sound of {path.name} cannot be decoded: it is damaged or empty")


def _flush(resampler: AudioResampler | None) -> list[NDArray[np.float32]]:
    return [_samples(frame) for frame in resampler.resample(None)] if resampler else []


def _samples(frame: av.AudioFrame) -> NDArray[np.float32]:
    """Resampling overshoots where the recording is at full scale; the dataset's 16 bits could not hold that."""
    return np.clip(np.asarray(frame.to_ndarray(), np.float32).reshape(-1), -1.0, 1.0)


def _rechunk(blocks: Iterator[NDArray[np.float32]], size: int) -> Iterator[NDArray[np.float32]]:
    held: list[NDArray[np.float32]] = []
    length = 0
    for block in blocks:
        held.append(block)
        length += len(block)
        while length >= size:
            joined = _join(held)
            yield joined[:size]
            held, length = [joined[size:]], length - size
    if length:
        yield _join(held)


def _join(blocks: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    return np.concatenate(blocks) if blocks else np.zeros(0, np.float32)
