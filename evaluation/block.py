"""The held-out test block of a dataset: its frames, its sound, and the sound that is put in its place.

Axes: T frames of the block (25/s), S audio samples (16 kHz), K landmarks, H W C picture (RGB, uint8).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from data_prep.dataset_328 import Dataset328
from recipe.audio_window import window_pcm
from recipe.crop import INNER
from recipe.film.shape import inner_points
from recipe.recipe_328 import AUDIO_WINDOW_SAMPLES, FPS, INNER_OFFSET_PX, SAMPLES_PER_FRAME, window_samples
from recipe.voice_gate import gate

MAX_FRAMES = 1000  # 40 s: more adds minutes and memory, and hardly changes a mean
ROOM_TONE_DBFS = -60.0
_SHUFFLED_FRAMES = 500  # how many frames the leak is measured on, if need be on several sounds
_MOST_STRETCHES = 10
_APART_FRAMES = FPS  # other sound starts and ends at least so far from the block


class NoTestBlockError(ValueError):
    """Nothing was held out that could be measured."""


@dataclass(frozen=True)
class Sound:
    """What each frame hears: windows (T, `window_samples` of the recipe) and gates (T,)."""

    pcm_TS: NDArray[np.float32]
    gate_T: NDArray[np.float32]


@dataclass(frozen=True)
class HeldOutFrames:
    """The frames of the test block that have a good face.

    `frames_T` are their numbers in the dataset, `segment_T` the uninterrupted stretch each belongs to.
    `points_TK2` are the landmarks that move a film, in px of the inner square. `recording_gate_T` is the voice gate of
    the whole recording.
    """

    frames_T: NDArray[np.int64]
    segment_T: NDArray[np.int64]
    inner_THWC: NDArray[np.uint8]
    points_TK2: NDArray[np.float32]
    sound: Sound
    recording_gate_T: NDArray[np.float32]


def held_out_frames(dataset: Dataset328) -> HeldOutFrames:
    """Cut the test block out of a dataset.

    Raises:
        NoTestBlockError: the dataset has no test block with good faces.
    """
    frames = [frame for start, stop in dataset.splits["test"] for frame in range(start, stop)]
    good = np.array([frame for frame in frames if dataset.valid_T[frame]], np.int64)[:MAX_FRAMES]
    if len(good) < FPS:
        raise NoTestBlockError(
            f"the test block of {dataset.folder} has {len(good)} frames with a good face, at least {FPS} are needed; "
            "prepare a longer recording"
        )
    clip_starts = np.array([start for start, _ in dataset.clips])
    clip_of = np.searchsorted(clip_starts, good, "right")
    breaks = (np.diff(good) != 1) | (np.diff(clip_of) != 0)
    segment_T = np.concatenate([[0], np.cumsum(breaks)]).astype(np.int64)
    gate_T = gate(dataset.audio_S)
    inner_THWC = np.ascontiguousarray(dataset.crops[good][:, INNER, INNER])
    sound = sound_at(dataset.audio_S, gate_T, good, heard_samples(dataset))
    points = inner_points(dataset.landmarks_TK2[good], dataset.affine_T23[good], INNER_OFFSET_PX)
    return HeldOutFrames(good, segment_T, inner_THWC, points.astype(np.float32), sound, gate_T)


def heard_samples(dataset: Dataset328) -> int:
    """Length of the window of sound that a frame of this dataset hears."""
    return window_samples(dataset.manifest["recipe"]["audio_features"])


def sound_at(
    pcm_S: NDArray[np.float32],
    gate_T: NDArray[np.float32],
    frames_T: NDArray[np.int64],
    samples: int = AUDIO_WINDOW_SAMPLES,
) -> Sound:
    """Windows of `samples` samples and gates of some frames of an utterance."""
    windows = np.zeros((len(frames_T), samples), np.float32)
    starts = np.flatnonzero(np.concatenate([[True], np.diff(frames_T) != 1]))
    for start, stop in zip(starts, [*starts[1:], len(frames_T)], strict=True):
        windows[start:stop] = window_pcm(pcm_S, int(frames_T[start]), int(stop - start), samples)
    return Sound(windows, gate_T[np.minimum(frames_T, len(gate_T) - 1)])


def other_stretches(block: HeldOutFrames, recording_frames: int) -> list[NDArray[np.int64]]:
    """Frames of the recording whose sound is put in the place of the block's own.

    As many stretches of the block's length as give enough frames, spread over the half of the recording that has
    most speech, at least a second away from the block; in a recording too short for that, the block's own frames
    turned round by half.
    """
    length, total = len(block.frames_T), min(recording_frames, len(block.recording_gate_T))
    first, last = int(block.frames_T[0]), int(block.frames_T[-1])
    starts = np.array(
        [s for s in range(total - length + 1) if s + length <= first - _APART_FRAMES or s > last + _APART_FRAMES]
    )
    if not len(starts):
        return [np.roll(block.frames_T, length // 2)]
    speech = np.concatenate([[0], np.cumsum(block.recording_gate_T[:total] > 0)])
    spoken = speech[starts + length] - speech[starts]
    starts = starts[spoken >= np.median(spoken)]
    half_apart = 1 + int(starts[-1] - starts[0]) // max(length // 2, 1)
    count = min(_MOST_STRETCHES, half_apart, -(-_SHUFFLED_FRAMES // length))
    chosen = starts[np.linspace(0, len(starts) - 1, count).round().astype(int)]
    return [np.arange(start, start + length) for start in chosen]


def digital_silence(frames: int, samples: int = AUDIO_WINDOW_SAMPLES) -> Sound:
    """An utterance of zeros."""
    return Sound(np.zeros((frames, samples), np.float32), gate(np.zeros(frames * SAMPLES_PER_FRAME, "f4")))


def room_tone(frames: int, samples: int = AUDIO_WINDOW_SAMPLES) -> Sound:
    """An utterance of low low-pitched noise at ROOM_TONE_DBFS, the same every time."""
    noise_S = np.random.default_rng(328).normal(size=frames * SAMPLES_PER_FRAME + 64)
    noise_S = np.convolve(noise_S, np.ones(16) / 16, "same")[: frames * SAMPLES_PER_FRAME]
    pcm_S = (noise_S / noise_S.std() * 10 ** (ROOM_TONE_DBFS / 20)).astype(np.float32)
    return sound_at(pcm_S, gate(pcm_S), np.arange(frames), samples)


def consecutive(segment_T: NDArray[np.int64]) -> list[slice]:
    """The uninterrupted stretches as slices of the block."""
    edges = np.flatnonzero(np.concatenate([[True], np.diff(segment_T) != 0, [True]]))
    return [slice(int(a), int(b)) for a, b in pairwise(edges)]
