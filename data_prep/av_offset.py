"""Estimate how many frames the sound of a recording lies before or after its picture.

Axes: T video frames (25/s), S audio samples (16 kHz), L lags in frames, N overlapping spectra (100/s), D features.

Loudness alone says little about the lips (a loud "ee" is narrow), so for every lag a small ridge regression learns
to predict the opening of the mouth, and its rate of change, from the sound's spectrum; what counts is the
correlation on parts of the recording it was not fitted on. The same is done at shifts of more than a second, where
mouth and sound cannot belong together: that is chance. A peak is clear when it stands far out of chance and stays
where it is whichever third of the recording is left out.

Measured on four clips believed in sync (the synthetic presenter, by its true mouth and by landmarks, and three real
ones), the peak lies at lag -1, 0, 0 and +1: lips lead loudness by nature, but a spectrum that says which sound it is
has no lead, so none is taken out. In 94 % of all windows of ten seconds the peak was within one frame of that.
Against 88 pairings with other speech, noise and music no offset was called clear.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from recipe.recipe_328 import FPS, SAMPLE_RATE_HZ, SAMPLES_PER_FRAME

MAX_LAG: Final = 20
_LEAST_FRAMES: Final = 5 * FPS  # less says nothing; also room for a chance level
LEAST_OFFSET: Final = 2  # one frame is the error of the estimate
CLEAR_CONFIDENCE: Final = 3.5  # of 36 pairs of a mouth and foreign speech, 12 s each, the most sure one had 2.7
_AGREEING: Final = 2  # frames by which the parts of a recording may differ from the whole
_CHANCE_SHIFTS: Final = 80
_FFT: Final = 512
_HOP: Final = SAMPLES_PER_FRAME // 4
_BAND_EDGES_HZ: Final = (100, 300, 500, 750, 1050, 1450, 2000, 2800, 4000, 6500)
_SLOW_FRAMES: Final = 8.0  # sigma; what changes slower is posture or gain, not speech
_RIDGE: Final = 0.3
_FOLDS: Final = 4

Range = tuple[int, int]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class AvOffset:
    """The sound's delay against the picture, and how far to trust it."""

    frames: int  # positive: the sound is late by so many 40 ms frames and must be moved earlier
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
    """
    nothing = [0.0] * (2 * MAX_LAG + 1)
    if int(valid_T.sum()) < _LEAST_FRAMES:
        return AvOffset(0, 0.0, False, nothing, f"fewer than {_LEAST_FRAMES} frames with a face: not estimated")
    sound_TD = _sound_features(audio_S, len(opening_T))
    mouth_TD, clip_T = _mouth_features(opening_T, valid_T, clips)
    if not np.ptp(sound_TD) or not np.ptp(opening_T[valid_T]):
        what = "the sound is constant" if not np.ptp(sound_TD) else "the mouth never moves"
        return AvOffset(0, 0.0, False, nothing, f"{what}: not estimated")
    lags = range(-MAX_LAG, MAX_LAG + 1)
    curve = np.array([_held_out_correlation(mouth_TD, sound_TD, clip_T, lag) for lag in lags])
    chance = _chance(mouth_TD, sound_TD, clip_T)
    without = [_peak(np.array([_held_out_correlation(mouth_TD, sound_TD, part_T, lag) for lag in lags]))
               for part_T in _without_a_third(clip_T)]  # fmt: skip
    return _conclude(curve, chance, without)


def _conclude(curve: Floats, chance: Floats, without: list[int]) -> AvOffset:
    frames = _peak(curve)
    confidence = float((curve.max() - chance.mean()) / max(float(chance.std()), 1e-6))
    agree = all(abs(part - frames) <= _AGREEING for part in without)
    if confidence < CLEAR_CONFIDENCE or abs(frames) >= MAX_LAG:
        verdict = "not enough evidence, left as it is"
    elif abs(frames) < LEAST_OFFSET:
        verdict = "in sync"
    else:
        verdict = "clear" if agree and curve.max() > chance.max() else "its parts differ, left as it is"
    where = f"{abs(frames) * 1000 // FPS} ms {'late' if frames > 0 else 'early'}" if frames else "where it is"
    text = (
        f"mouth and sound fit best with the sound {where} (correlation {curve.max():.2f}, "
        f"{confidence:.1f} standard deviations over chance; without its first, middle or last third "
        f"{', '.join(f'{part * 1000 // FPS:+d}' for part in without)} ms): "
    )
    return AvOffset(frames, confidence, verdict == "clear", [float(value) for value in curve], text + verdict)


def _without_a_third(clip_T: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Numbers of the clips with a third of the recording left out: halves of a short one say too little alone."""
    edges = np.arange(4) * len(clip_T) // 3
    for start, stop in itertools.pairwise(edges):
        part_T = clip_T.copy()
        part_T[start:stop] = -1
        yield part_T


def _peak(curve: Floats) -> int:
    """The lag of the peak: the vertex of a parabola through the five lags at the top, which ends ties fairly."""
    top = int(np.clip(curve.argmax(), 2, len(curve) - 3))
    square, slope, _ = np.polyfit(np.arange(-2, 3), curve[top - 2 : top + 3], 2)
    shift = float(np.clip(-slope / (2 * square), -1, 1)) if square < 0 else float(int(curve.argmax()) - top)
    return round(top + shift) - MAX_LAG


def _sound_features(audio_S: NDArray[np.float32], frames: int) -> Floats:
    """Log energy in bands and its rate of change per frame, (T, D), without slow changes, standardised."""
    samples = np.zeros(frames * SAMPLES_PER_FRAME + _FFT, np.float32)
    used = audio_S[: frames * SAMPLES_PER_FRAME]
    samples[_FFT // 2 : _FFT // 2 + len(used)] = used
    hertz = np.fft.rfftfreq(_FFT, 1 / SAMPLE_RATE_HZ)
    bands = np.searchsorted(hertz, _BAND_EDGES_HZ)
    window = np.hanning(_FFT).astype(np.float32)
    energy_TD = np.zeros((frames, len(bands) - 1))
    windows_NW = np.lib.stride_tricks.sliding_window_view(samples, _FFT)[::_HOP]
    for i in range(frames):  # hops 4 i .. 4 i + 3 lie in the 640 samples of frame i
        power = np.abs(np.fft.rfft(windows_NW[4 * i : 4 * i + 4] * window)) ** 2
        energy_TD[i] = np.add.reduceat(power.mean(0), bands)[:-1]
    floor = np.maximum(np.percentile(energy_TD, 10, axis=0), 1e-7)  # below the room's noise nothing is speech
    level_TD = _without_slow(np.log(energy_TD + floor))
    return _standardised(np.concatenate([_standardised(level_TD), np.gradient(level_TD, axis=0)], axis=1))


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
        opening = np.interp(np.arange(stop - start), known, np.sqrt(np.maximum(opening_T[start:stop][known], 0)))
        mouth_TD[start:stop] = np.stack([_without_slow(opening), np.gradient(opening)], axis=1)
        clip_T[start:stop][known] = number
    mouth_TD[clip_T >= 0] = _standardised(mouth_TD[clip_T >= 0])
    return mouth_TD, clip_T


def _held_out_correlation(mouth_TD: Floats, sound_TD: Floats, clip_T: NDArray[np.int64], lag: int) -> float:
    """How well the sound `lag` frames later predicts the mouth, on folds left out of the fit."""
    frames = len(mouth_TD)
    t = np.arange(max(0, -lag), min(frames, frames - lag))
    t = t[(clip_T[t] >= 0) & (clip_T[t] == clip_T[t + lag])]
    return _predict(mouth_TD[t], sound_TD[t + lag])


def _chance(mouth_TD: Floats, sound_TD: Floats, clip_T: NDArray[np.int64]) -> Floats:
    """The same at circular shifts of more than a second, where mouth and sound cannot belong together."""
    frames, known = len(mouth_TD), clip_T >= 0
    nearest = MAX_LAG + FPS
    shifts = np.unique(np.linspace(nearest, frames - nearest, _CHANCE_SHIFTS).astype(int))
    return np.array([_predict(mouth_TD[known], np.roll(sound_TD, -shift, axis=0)[known]) for shift in shifts])


def _predict(mouth_TD: Floats, sound_TD: Floats) -> float:
    if len(mouth_TD) < 2 * FPS:
        return 0.0
    edges = np.arange(_FOLDS + 1) * len(mouth_TD) // _FOLDS
    folds = [slice(int(start), int(stop)) for start, stop in itertools.pairwise(edges)]
    # einsum, not @: on a busy machine BLAS spends 40 times longer on waking its threads for matrices as thin as these.
    grams = [np.einsum("td,te->de", sound_TD[fold], sound_TD[fold]) for fold in folds]
    products = [np.einsum("td,te->de", sound_TD[fold], mouth_TD[fold]) for fold in folds]
    predicted = np.zeros_like(mouth_TD)
    for fold, gram, product in zip(folds, grams, products, strict=True):
        ridge = _RIDGE * (len(mouth_TD) - (fold.stop - fold.start)) * np.eye(len(gram))
        weights = np.linalg.solve(sum(grams) - gram + ridge, sum(products) - product)
        predicted[fold] = np.einsum("td,de->te", sound_TD[fold], weights)
    return float((_standardised(predicted) * _standardised(mouth_TD)).mean())


def _without_slow(curve: Floats) -> Floats:
    slow: Floats = gaussian_filter1d(curve, _SLOW_FRAMES, axis=0, mode="reflect")
    return curve - slow


def _standardised(curve_TD: Floats) -> Floats:
    centred: Floats = curve_TD - curve_TD.mean(0)
    centred /= centred.std(0) + 1e-9
    return centred
