"""Many channels into one: their mean, unless they cancel each other; then the loudest channel alone.

A cable or a plug-in that inverts one of two channels makes silence of their mean, though each is loud. Whether it does
is a property of the recording: it is decided once per file, from its first seconds that are not silent.

Axes: C channels, S audio samples at the file's own rate.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import av
import numpy as np
from av.audio.resampler import AudioResampler
from numpy.typing import NDArray

from recipe.media import decode_sound, open_media, sound_stream

_LISTENED_S: Final = 10.0  # of sound that is not silent
_AUDIBLE: Final = 1e-3  # RMS of the loudest channel, -60 dBFS
_CANCELLED: Final = 0.1  # of the loudest channel's power; one of two channels alone leaves 0.25, strangers 0.5


def louder_channel(path: Path) -> int | None:
    """The channel to hear instead of all, where they cancel; None where their mean is right.

    Args:
        path: a file with sound.
    Raises:
        NotAVideoError, NoAudioError: nothing to hear in this file.
    """
    power_C, power_mean, heard_s = np.zeros(0), 0.0, 0.0
    with open_media(path, pictures=False) as container:
        for frame in decode_sound(container, sound_stream(container, path)):
            if frame.layout.nb_channels == 1:
                return None
            pcm_CS = separate_channels(frame)
            if len(power_C) != len(pcm_CS):
                power_C, power_mean, heard_s = np.zeros(len(pcm_CS)), 0.0, 0.0
            energy_C = np.square(pcm_CS, dtype=np.float64).sum(1)
            if energy_C.max(initial=0.0) < _AUDIBLE**2 * pcm_CS.shape[1]:
                continue
            power_C = power_C + energy_C
            power_mean += float(np.square(pcm_CS.mean(0), dtype=np.float64).sum())
            heard_s += frame.samples / frame.sample_rate
            if heard_s >= _LISTENED_S:
                break
    cancelled = heard_s > 0 and power_mean < _CANCELLED * power_C.max() and not _only_one(power_C)
    return int(power_C.argmax()) if cancelled else None


def only_channel(frame: av.AudioFrame, channel: int) -> av.AudioFrame:
    """One channel of a frame as a mono frame; the first where the file went on with fewer."""
    pcm_CS = separate_channels(frame)
    one = av.AudioFrame.from_ndarray(pcm_CS[min(channel, len(pcm_CS) - 1)][None], format="fltp", layout="mono")
    one.sample_rate = frame.sample_rate
    return one


def separate_channels(frame: av.AudioFrame) -> NDArray[np.float32]:
    """A frame of any sample format as float32 (C, S)."""
    # Interleaved: PyAV reads past the end of eight or more separate planes.
    converter = AudioResampler(format="flt", layout=frame.layout, rate=frame.sample_rate)
    parts = [part.to_ndarray().reshape(-1) for part in (*converter.resample(frame), *converter.resample(None))]
    pcm_SC = np.concatenate(parts).reshape(-1, frame.layout.nb_channels)
    return np.ascontiguousarray(pcm_SC.T, dtype=np.float32)


def _only_one(power_C: NDArray[np.float64]) -> bool:
    """Of many channels a single one sounds: their mean is faint, but it is all there."""
    return int((power_C > _CANCELLED * power_C.max()).sum()) == 1
