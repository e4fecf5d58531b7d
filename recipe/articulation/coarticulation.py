"""From phones to smooth mouth movements: each sound pulls on each articulator with its own strength.

Overlapping dominance functions give every articulator the weighted mean of its neighbours' targets; lips that must
meet (p, b, m) or touch the teeth (f, v) are then closed without compromise.
Source: M. Cohen, D. Massaro, "Modeling coarticulation in synthetic visual speech", 1993.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recipe.articulation.visemes import SHAPES, VISEME_OF_SHAPE, VISEMES, Phone, shapes_of_phone

Float = NDArray[np.float64]

RATE_HZ = 200
UNITS = tuple(sorted({unit for shape in SHAPES.values() for unit in shape}))
ARTICULATORS = ("jaw", "open", "round", "spread", "close", "tongue")
_ARTICULATOR_OF_UNIT = {
    "jawOpen": "jaw", "mouthUpperUp": "open", "mouthLowerDown": "open", "mouthFunnel": "round", "mouthPucker": "round",
    "mouthSmile": "spread", "mouthStretch": "spread", "mouthPress": "close", "mouthRollLower": "close",
    "mouthRollUpper": "close", "mouthShrugLower": "close", "tongueTipUp": "tongue", "tongueForward": "tongue",
    "tongueBodyUp": "tongue", "tongueLow": "tongue", "lowerLipIn": "close",
}  # fmt: skip
# How strongly a shape insists, per articulator in the order of ARTICULATORS.
_VOWEL = (1.3, 1.1, 1.3, 1.0, 1.1, 0.7)
_DOMINANCE = {
    "sil": (0.7, 0.7, 0.6, 0.6, 0.6, 0.5),
    "PP": (2.2, 4.5, 0.35, 0.5, 5.0, 0.3),
    "FF": (2.6, 3.0, 0.5, 0.6, 4.5, 0.3),
    "SS": (2.0, 1.2, 0.35, 0.6, 1.2, 1.0),
    "CH": (1.8, 1.2, 1.8, 1.0, 1.2, 1.0),
    "TH": (1.0, 0.8, 0.3, 0.3, 1.0, 3.0),
    "DD": (0.9, 0.6, 0.22, 0.3, 1.0, 3.0),
    "L": (0.8, 0.6, 0.22, 0.3, 1.0, 3.0),
    "kk": (0.6, 0.4, 0.2, 0.25, 1.0, 2.0),
    "HH": (0.3, 0.3, 0.1, 0.1, 0.8, 0.2),
    "RR": (0.9, 0.8, 1.4, 1.0, 1.0, 1.0),
    "W": (1.4, 1.2, 3.0, 1.5, 1.0, 0.5),
}
_REACH_S = 0.45  # beyond this a sound has no influence
# Lips round well before a rounded vowel, through the consonants that leave them free.
_ROUNDING_RISE_S, _ROUNDING_FALL_S = 0.115, 0.070
_SMOOTHING_S = 0.014
_FIRST_PART_OF_DIPHTHONG = 0.58


@dataclass(frozen=True)
class Segment:
    """A stretch of time with one mouth shape."""

    shape: str
    start_s: float
    stop_s: float


@dataclass(frozen=True)
class MouthTrack:
    """Mouth movements at RATE_HZ, from time 0; `R` counts these steps."""

    weights_RU: Float  # in the order of UNITS
    visemes_R15: Float  # activations that sum to 1, in the order of VISEMES


def segments_of(phones: Sequence[Phone], alphabet: str) -> list[Segment]:
    """Phones as mouth shapes; a diphthong becomes two."""
    found = []
    for phone in phones:
        shapes = shapes_of_phone(phone.name, alphabet)
        inner = [_FIRST_PART_OF_DIPHTHONG] if len(shapes) == 2 else np.arange(1, len(shapes)) / len(shapes)
        cuts = phone.start_s + (phone.stop_s - phone.start_s) * np.array([0.0, *inner, 1.0])
        found += [Segment(shape, a, b) for shape, a, b in zip(shapes, cuts[:-1], cuts[1:], strict=True)]
    return found


def _influence(time_s: Float, segment: Segment) -> Float:
    """Rises before the sound (anticipation), stays in its middle, fades after it; (R, articulators)."""
    length = segment.stop_s - segment.start_s
    silent = segment.shape == "sil"
    rise_s = np.where(np.array(ARTICULATORS) == "round", _ROUNDING_RISE_S, 0.080 if silent else 0.050)
    fall_s = np.where(np.array(ARTICULATORS) == "round", _ROUNDING_FALL_S, 0.070 if silent else 0.045)
    before = np.maximum(segment.start_s + 0.25 * length - time_s, 0)[:, None]
    after = np.maximum(time_s - (segment.stop_s - 0.25 * length), 0)[:, None]
    strength = 0.6 + 0.4 * min(1.0, length / 0.07)
    return np.asarray(strength * np.exp(-((before / rise_s) ** 1.4) - (after / fall_s) ** 1.4))


def mouth_track(segments: Sequence[Segment], duration_s: float) -> MouthTrack:
    """Blend the shapes of all segments over time."""
    steps = int(np.ceil(duration_s * RATE_HZ)) + 1
    weights, visemes = _blended(segments, range(steps))
    weights = _smoothed(weights)
    _close_lips(weights, segments, range(steps))
    return MouthTrack(weights, visemes / np.maximum(visemes.sum(1, keepdims=True), 1e-6))


def mouth_at(segments: Sequence[Segment], step: int) -> Float:
    """One step of `mouth_track`, by itself: weights in the order of UNITS.

    Args:
        segments: at least all that come within NEEDS_S of the step.
        step: of RATE_HZ. Only at the very end of a track it differs from there, where that repeats its last step.
    """
    half = len(_KERNEL) // 2
    first = max(step - half, 0)
    weights = np.pad(_blended(segments, range(first, step + half + 1))[0], ((first - (step - half), 0), (0, 0)), "edge")
    smooth = (_KERNEL[:, None] * weights).sum(0, keepdims=True)
    _close_lips(smooth, segments, range(step, step + 1))
    return np.asarray(smooth[0])


def _blended(segments: Sequence[Segment], steps: range) -> tuple[Float, Float]:
    """The weighted mean of the targets, and how much there is of each viseme, at these steps."""
    time_s = np.arange(steps.start, steps.stop) / RATE_HZ
    articulator_U = np.array([ARTICULATORS.index(_ARTICULATOR_OF_UNIT[_sideless(unit)]) for unit in UNITS])
    pulled, pull = np.zeros((len(steps), len(UNITS))), np.full((len(steps), len(ARTICULATORS)), 1e-4)
    visemes = np.zeros((len(steps), len(VISEMES)))
    for segment in segments:
        near = _near(segment, steps)
        influence = _influence(time_s[near], segment)
        target = np.array([SHAPES[segment.shape].get(unit, 0.0) for unit in UNITS])
        dominance = influence * np.array(_DOMINANCE.get(segment.shape, _VOWEL))
        pull[near] += dominance
        pulled[near] += dominance[:, articulator_U] * target
        visemes[near, VISEMES.index(VISEME_OF_SHAPE[segment.shape])] += influence[:, 0]
    return pulled / pull[:, articulator_U], visemes


def _sideless(unit: str) -> str:
    return unit.removesuffix("Left").removesuffix("Right")


def _near(segment: Segment, steps: range) -> slice:
    """Which of the steps a segment has an influence on."""
    first = max(int(max(segment.start_s - _REACH_S, 0) * RATE_HZ), steps.start)
    stop = min(int((segment.stop_s + _REACH_S) * RATE_HZ) + 1, steps.stop)
    return slice(first - steps.start, max(stop - steps.start, first - steps.start))


def _smoothed(values_RU: Float) -> Float:
    """A short Gaussian over time."""
    padded = np.pad(values_RU, ((len(_KERNEL) // 2,) * 2, (0, 0)), "edge")
    return np.stack([np.convolve(column, _KERNEL, "valid") for column in padded.T], 1)


def _kernel() -> Float:
    sigma = _SMOOTHING_S * RATE_HZ
    kernel = np.exp(-0.5 * (np.arange(-int(3 * sigma), int(3 * sigma) + 1) / sigma) ** 2)
    return np.asarray(kernel / kernel.sum())


_KERNEL = _kernel()
NEEDS_S = _REACH_S + (len(_KERNEL) // 2 + 1) / RATE_HZ  # on either side of a step, what is said has a say in it


def _close_lips(weights_RU: Float, segments: Sequence[Segment], steps: range) -> None:
    """Lips meet for p, b, m and the lower lip meets the teeth for f, v, long enough to be seen at 25 fps; in place."""
    time_s = np.arange(steps.start, steps.stop) / RATE_HZ
    for shape in ("PP", "FF"):
        closure = np.zeros(len(time_s))
        for segment in segments:
            if segment.shape != shape:
                continue
            near = _near(segment, steps)
            middle, half = (segment.start_s + segment.stop_s) / 2, (segment.stop_s - segment.start_s) / 2
            outside = np.maximum(np.abs(time_s[near] - middle) - max(half - 0.004, 0.021), 0)
            closure[near] = np.maximum(closure[near], np.exp(-((outside / 0.036) ** 2)))
        full = closure[:, None] * 0.97
        target = np.array([SHAPES[shape].get(unit, 0.0) for unit in UNITS])
        for column, unit in enumerate(UNITS):
            articulator = _ARTICULATOR_OF_UNIT[_sideless(unit)]
            if articulator in ("jaw", "open") or (articulator == "close" and shape == "FF"):
                weights_RU[:, column] += (target[column] - weights_RU[:, column]) * full[:, 0]
            elif unit == "mouthFunnel":
                weights_RU[:, column] *= 1 - 0.6 * closure
