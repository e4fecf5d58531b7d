"""Estimate by how much the sound of a recording lies before or after its picture.

Axes: T video frames (25/s), S audio samples (16 kHz), L lags in frames.

The shipped ears say how far a mouth opens that speaks this sound (recipe.shipped); that is compared with the opening
that was filmed, and its rate of change with the filmed one's, at every lag. The same is done at shifts of more than a
second, where mouth and sound cannot belong together: that is chance. A peak is clear when it stands far out of chance
and stays where it is whichever third of the recording is left out. Its place is told to a fraction of a frame.

Measured (docs/decisions/0022): on the presenter within 0.02 frames of the truth, without a bias; in windows of eight
seconds of real clips the peak moves by half a frame.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from recipe.articulation.mouth_units import opening_mm
from recipe.audio_window import window_pcm
from recipe.avatar_format import EMBEDDING, GATE, PCM
from recipe.recipe_328 import AUDIO_WINDOW_SAMPLES, FPS
from recipe.shipped import EARS_FILE, checked_ears

MAX_LAG: Final = 20
_LEAST_FRAMES: Final = 5 * FPS  # less says nothing; also room for a chance level
LEAST_OFFSET: Final = 0.25  # frames: 10 ms, which nobody sees
# Of mouths and foreign speech, 12 s each, one in twenty is as sure as the first and none as the second; but there the
# peak lies anywhere, and cameras that are out of sync at all mostly are so by a frame or two.
CLEAR_CONFIDENCE, _CLEAR_ANYWHERE = 3.5, 5.0
_NEAR: Final = 3.0  # frames
_AGREEING: Final = 1.0  # frames by which the parts of a recording may differ from the whole
_CHANCE_SHIFTS: Final = 80
_SLOW_FRAMES: Final = 8.0  # sigma; what changes slower is posture or gain, not speech
_HEARD_AT_ONCE: Final = 256

Range = tuple[int, int]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class AvOffset:
    """The sound's delay against the picture, and how far to trust it."""

    frames: float  # positive: the sound is late by so many 40 ms frames and must be moved earlier
    confidence: float  # height of the peak over chance, in standard deviations of chance
    clear: bool  # True: remove it
    correlation: list[float]  # at lags -MAX_LAG .. MAX_LAG
    evidence: str  # in plain words


def estimate_av_offset(
    opening_T: NDArray[np.float32],
    valid_T: NDArray[np.bool_],
    audio_S: NDArray[np.float32],
    clips: list[Range],
) -> AvOffset:
    """Compare mouth and sound.

    Args:
        opening_T: opening of the mouth, any unit, not negative.
        valid_T: frames whose opening was measured.
        audio_S: 16 kHz mono; frame i owns samples [640 i, 640 (i + 1)).
        clips: half-open ranges between jump cuts.
    Returns:
        The offset; `clear` is False when there is too little evidence or nothing to correct.
    Raises:
        ShippedNetworkError: the ears are missing.
    """
    nothing = [0.0] * (2 * MAX_LAG + 1)
    if int(valid_T.sum()) < _LEAST_FRAMES:
        return AvOffset(0, 0.0, False, nothing, f"fewer than {_LEAST_FRAMES} frames with a face: not estimated")
    if not np.ptp(audio_S) or not np.ptp(opening_T[valid_T]):
        what = "the sound is constant" if not np.ptp(audio_S) else "the mouth never moves"
        return AvOffset(0, 0.0, False, nothing, f"{what}: not estimated")
    sound_TD = _features(heard_opening(audio_S, len(opening_T)))
    mouth_TD, clip_T = _mouth_features(opening_T, valid_T, clips)
    curve = _curve(mouth_TD, sound_TD, clip_T)
    chance = _chance(mouth_TD, sound_TD, clip_T)
    without = [_peak(_curve(mouth_TD, sound_TD, part_T)) for part_T in _without_a_third(clip_T)]
    return _conclude(curve, chance, without)


def heard_opening(audio_S: NDArray[np.float32], frames: int) -> Floats:
    """How far a mouth is open that speaks this sound, by the shipped ears, mm, (T,).

    Raises:
        ShippedNetworkError: the ears are missing.
    """
    checked_ears()
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(str(EARS_FILE), options, providers=["CPUExecutionProvider"])
    told = []
    for first in range(0, frames, _HEARD_AT_ONCE):
        count = min(_HEARD_AT_ONCE, frames - first)
        windows = window_pcm(audio_S, first, count, AUDIO_WINDOW_SAMPLES)
        told.append(session.run([EMBEDDING], {PCM: windows, GATE: np.ones(count, np.float32)})[0])
    return opening_mm(np.concatenate(told))


def _conclude(curve: Floats, chance: Floats, without: list[float]) -> AvOffset:
    frames = _peak(curve)
    confidence = float((curve.max() - chance.mean()) / max(float(chance.std()), 1e-6))
    needed = CLEAR_CONFIDENCE if abs(frames) <= _NEAR else _CLEAR_ANYWHERE
    agree = all(abs(part - frames) <= _AGREEING for part in without) and curve.max() > chance.max()
    if confidence < needed or abs(frames) >= MAX_LAG - 1:
        verdict = "not enough evidence, left as it is"
    elif not agree:
        verdict = "its parts differ, left as it is"
    else:
        verdict = "in sync" if abs(frames) < LEAST_OFFSET else "clear"
    text = (
        f"mouth and sound fit best with the sound {late_or_early(frames)} (correlation {curve.max():.2f}, "
        f"{confidence:.1f} standard deviations over chance; without its first, middle or last third "
        f"{', '.join(f'{part * 1000 / FPS:+.0f}' for part in without)} ms): "
    )
    return AvOffset(frames, confidence, verdict == "clear", [float(value) for value in curve], text + verdict)


def late_or_early(frames: float) -> str:
    """The sound's place in words."""
    late_ms = round(frames * 1000 / FPS)
    return f"{abs(late_ms)} ms {'late' if late_ms > 0 else 'early'}" if late_ms else "where it is"


def _without_a_third(clip_T: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Numbers of the clips with a third of the recording left out: halves of a short one say too little alone."""
    edges = np.arange(4) * len(clip_T) // 3
    for start, stop in itertools.pairwise(edges):
        part_T = clip_T.copy()
        part_T[start:stop] = -1
        yield part_T


def _peak(curve: Floats) -> float:
    """The lag of the peak: the vertex of a parabola through the three lags at the top."""
    top = int(np.clip(curve.argmax(), 1, len(curve) - 2))
    before, at, after = curve[top - 1 : top + 2]
    bend = before - 2 * at + after
    return round(top - MAX_LAG + (float(np.clip((before - after) / (2 * bend), -1, 1)) if bend < 0 else 0.0), 2)


def _features(opening_T: Floats) -> Floats:
    """An opening without slow changes, and its rate of change, (T, 2)."""
    root_T = np.sqrt(np.maximum(opening_T, 0))
    return np.stack([_without_slow(root_T), np.gradient(root_T)], axis=1)


def _mouth_features(
    opening_T: NDArray[np.float32], valid_T: NDArray[np.bool_], clips: list[Range]
) -> tuple[Floats, NDArray[np.int64]]:
    """Opening and its rate of change, (T, 2), and the number of each frame's clip, -1 where it was not measured."""
    mouth_TD = np.zeros((len(opening_T), 2))
    clip_T = np.full(len(opening_T), -1, np.int64)
    for number, (start, stop) in enumerate(clips):
        known = np.flatnonzero(valid_T[start:stop])
        if len(known) < FPS:
            continue
        mouth_TD[start:stop] = _features(np.interp(np.arange(stop - start), known, opening_T[start:stop][known]))
        clip_T[start:stop][known] = number
    return mouth_TD, clip_T


def _curve(mouth_TD: Floats, sound_TD: Floats, clip_T: NDArray[np.int64]) -> Floats:
    """How alike the mouth and the sound `lag` frames later are, lags from -MAX_LAG to MAX_LAG."""
    frames, found = len(mouth_TD), []
    for lag in range(-MAX_LAG, MAX_LAG + 1):
        t = np.arange(max(0, -lag), min(frames, frames - lag))
        t = t[(clip_T[t] >= 0) & (clip_T[t] == clip_T[t + lag])]
        found.append(_alike(mouth_TD[t], sound_TD[t + lag]))
    return np.array(found)


def _chance(mouth_TD: Floats, sound_TD: Floats, clip_T: NDArray[np.int64]) -> Floats:
    """The same at circular shifts of more than a second, where mouth and sound cannot belong together."""
    frames, known = len(mouth_TD), clip_T >= 0
    nearest = MAX_LAG + FPS
    shifts = np.unique(np.linspace(nearest, frames - nearest, _CHANCE_SHIFTS).astype(int))
    return np.array([_alike(mouth_TD[known], np.roll(sound_TD, -shift, axis=0)[known]) for shift in shifts])


def _alike(mouth_TD: Floats, sound_TD: Floats) -> float:
    """Mean of the correlations of the two features."""
    if len(mouth_TD) < 2 * FPS:
        return 0.0
    return float((_standardised(mouth_TD) * _standardised(sound_TD)).mean())


def _without_slow(curve: Floats) -> Floats:
    slow: Floats = gaussian_filter1d(curve, _SLOW_FRAMES, axis=0, mode="reflect")
    return curve - slow


def _standardised(curve_TD: Floats) -> Floats:
    centred: Floats = curve_TD - curve_TD.mean(0)
    centred /= centred.std(0) + 1e-9
    return centred
