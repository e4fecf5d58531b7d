"""Sound: any file as 16 kHz mono, and the window of it that one video frame sees.

Axes: S audio samples (16 kHz), T video frames (25/s), B windows.
"""

from __future__ import annotations

import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import av
import numpy as np
from av.audio.resampler import AudioResampler
from numpy.typing import NDArray

from data_prep.errors import NoAudioError
from data_prep.recipe_328 import AUDIO_LOOKAHEAD_SAMPLES, AUDIO_WINDOW_SAMPLES, SAMPLE_RATE_HZ, SAMPLES_PER_FRAME
from data_prep.recording import decode_sound, frame_time, open_media, sound_stream

_FULL_SCALE: Final = 32768.0
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
    return _rechunk((block for _, block in _mono_blocks(path, keep_time=False)), chunk_samples)


def load_audio(path: Path) -> NDArray[np.float32]:
    """Decode a whole sound file: `iter_audio` joined."""
    return _join(list(iter_audio(path)))


def recorded_sound(path: Path, start_s: float, samples: int) -> NDArray[np.float32]:
    """Cut a recording's sound by its own clock.

    Args:
        path: the recording.
        start_s: time of the first sample, in seconds of the container's clock.
        samples: how many; where the recording has no sound the samples are 0.
    """
    sound_S = np.zeros(samples, np.float32)
    at: int | None = None
    for block_start_s, block in _mono_blocks(path, keep_time=True):
        if at is None:
            at = round((block_start_s - start_s) * SAMPLE_RATE_HZ)
        first, stop = max(at, 0), min(at + len(block), samples)
        if stop > first:
            sound_S[first:stop] = block[first - at : stop - at]
        at += len(block)
        if at >= samples:
            break
    return sound_S


def frame_count(samples: int) -> int:
    """Number of video frames that so many samples last: the last one may be partly silent."""
    return -(-samples // SAMPLES_PER_FRAME)


def window_pcm(
    pcm_S: NDArray[np.float32], first_frame: int, count: int, samples: int = AUDIO_WINDOW_SAMPLES
) -> NDArray[np.float32]:
    """What each of `count` frames hears: samples up to 231 ms after its own 640, zeros outside the utterance.

    Args:
        pcm_S: the utterance; frame i owns samples [640 i, 640 (i + 1)).
        first_frame: may be negative or beyond the end.
        count: number of frames.
        samples: length of a window, `recipe_328.window_samples`; 8032 lie evenly around the frame's centre.
    Returns:
        (count, samples) float32.
    """
    lead = samples - SAMPLES_PER_FRAME - AUDIO_LOOKAHEAD_SAMPLES  # samples of the window before the frame's own
    start = first_frame * SAMPLES_PER_FRAME - lead
    stop = start + (count - 1) * SAMPLES_PER_FRAME + samples
    span = np.zeros(max(stop - start, 0), np.float32)
    first, last = max(start, 0), min(stop, len(pcm_S))
    if last > first:
        span[first - start : last - start] = pcm_S[first:last]
    if count < 1:
        return np.zeros((0, samples), np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(span, samples)[::SAMPLES_PER_FRAME]
    return np.ascontiguousarray(windows)


def write_wav(path: Path, pcm_S: NDArray[np.float32]) -> None:
    """Write 16 kHz mono PCM16."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE_HZ)
        scaled = np.clip(np.round(pcm_S * _FULL_SCALE), -_FULL_SCALE, _FULL_SCALE - 1)
        file.writeframes(scaled.astype("<i2").tobytes())


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
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    return samples.astype(np.float32) / np.float32(_FULL_SCALE)


def _mono_blocks(path: Path, keep_time: bool) -> Iterator[tuple[float, NDArray[np.float32]]]:
    """16 kHz mono blocks with the time of the first one; the blocks follow each other without gaps.

    keep_time: fill gaps in the time stamps (a camera that dropped sound, undecodable packets) with silence.
    """
    resampler: AudioResampler | None = None
    form: tuple[str, str, int] | None = None
    start_s = expected_s = 0.0
    with open_media(path) as container:
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
            for resampled in resampler.resample(frame):
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
