"""THE audio window: which samples one video frame hears, in training and in serving.

    ........|=========== window ===========|     it ends AUDIO_LOOKAHEAD_SAMPLES after the frame's own samples
                       |own 640|

Axes: S audio samples (16 kHz), T video frames (25/s), B windows.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from recipe.recipe_328 import AUDIO_LOOKAHEAD_SAMPLES, AUDIO_WINDOW_SAMPLES, SAMPLES_PER_FRAME


def frame_count(samples: int) -> int:
    """Number of video frames that so many samples last: the last one may be partly silent."""
    return -(-samples // SAMPLES_PER_FRAME)


def window_start(frame: int, samples: int = AUDIO_WINDOW_SAMPLES) -> int:
    """First sample that a frame hears; negative where its window begins before the sound.

    Args:
        frame: its own samples are [640 frame, 640 (frame + 1)).
        samples: length of the window, `recipe_328.window_samples`; 8032 lie evenly around the frame's centre.
    """
    return (frame + 1) * SAMPLES_PER_FRAME + AUDIO_LOOKAHEAD_SAMPLES - samples


def window_pcm(
    pcm_S: NDArray[np.float32], first_frame: int, count: int, samples: int = AUDIO_WINDOW_SAMPLES
) -> NDArray[np.float32]:
    """What each of `count` frames hears of an utterance; zeros stand before its start and after its end.

    Args:
        pcm_S: the utterance; frame i owns samples [640 i, 640 (i + 1)).
        first_frame: may be negative or beyond the end.
        count: number of frames.
        samples: length of a window.
    Returns:
        (count, samples) float32.
    """
    if count < 1:
        return np.zeros((0, samples), np.float32)
    start, stop = window_start(first_frame, samples), window_start(first_frame + count - 1, samples) + samples
    span = np.zeros(stop - start, np.float32)
    first, last = max(start, 0), min(stop, len(pcm_S))
    if last > first:
        span[first - start : last - start] = pcm_S[first:last]
    return np.ascontiguousarray(np.lib.stride_tricks.sliding_window_view(span, samples)[::SAMPLES_PER_FRAME])


def clip_windows(
    pcm_S: NDArray[np.float32], clips: Sequence[Sequence[int]], frames: range, samples: int = AUDIO_WINDOW_SAMPLES
) -> NDArray[np.float32]:
    """What frames of a recording hear; each hears nothing of another clip than its own, and silence outside all clips.

    Args:
        pcm_S: the whole recording.
        clips: half-open frame ranges between jump cuts.
        frames: consecutive frames.
        samples: length of a window.
    Returns:
        (len(frames), samples) float32.
    """
    windows_BS = np.zeros((len(frames), samples), np.float32)
    for start, stop in clips:
        first, last = max(start, frames.start), min(stop, frames.stop)
        if last > first:
            clip_S = pcm_S[start * SAMPLES_PER_FRAME : stop * SAMPLES_PER_FRAME]
            heard = window_pcm(clip_S, first - start, last - first, samples)
            windows_BS[first - frames.start : last - frames.start] = heard
    return windows_BS
