"""The whole performance: mouth from the phones; head, gaze, blinks, brows and breath from a seed and the voice.

Frame i shows the moment (i + 0.5) / 25 s: the middle of the samples it owns.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from presenter.geometry import Float, smoothstep
from presenter.head import Person
from presenter.scene import Pose
from presenter.timeline import FPS, Timeline
from recipe.articulation.coarticulation import RATE_HZ, UNITS, mouth_track, segments_of
from recipe.articulation.speakers import SAMPLE_RATE_HZ

_SMILE = 0.13
_LIDS_AT_REST = 0.07
_BLINK_CLOSE_S, _BLINK_HOLD_S, _BLINK_OPEN_S = 0.08, 0.04, 0.17


@dataclass(frozen=True)
class Performance:
    """What moves, per video frame; angles in radians, shift in decimetres."""

    weights_TU: Float  # over Person.unit_names
    head_T3: Float  # pitch, yaw, roll
    shift_T3: Float
    gaze_T2: Float  # pitch, yaw in the head's frame
    blink_T: Float  # 0 open, 1 closed
    visemes_T15: Float

    def pose(self, frame: int) -> Pose:
        """The pose of one frame."""
        return Pose(self.weights_TU[frame], self.head_T3[frame], self.shift_T3[frame], self.gaze_T2[frame])


def perform(person: Person, timeline: Timeline, seed: int) -> Performance:
    """Animate a recording; the same arguments give the same performance."""
    rng = np.random.default_rng([seed, 2])
    track = mouth_track(segments_of(timeline.phones, timeline.alphabet), timeline.duration_s)
    steps = len(track.weights_RU)
    time_s = np.arange(steps) / RATE_HZ
    loudness = _loudness(timeline.pcm_S, time_s)
    emphasis = _smoothed(np.clip(loudness, 0, 1.2), 0.5)
    emphasis = (emphasis - emphasis.mean()) if emphasis.any() else emphasis
    head, shift = _head(time_s, emphasis, rng)
    blink = _blinks(time_s, rng)
    gaze = _gaze(time_s, head, rng)
    faces = _faces(track.weights_RU, loudness, emphasis, blink, gaze, rng)
    at = np.minimum(((np.arange(timeline.frames) + 0.5) / FPS * RATE_HZ).round().astype(int), steps - 1)
    weights = np.zeros((timeline.frames, len(person.unit_names)))
    for name, values in faces.items():
        weights[:, person.unit_names.index(name)] = values[at]
    return Performance(weights, head[at], shift[at], gaze[at], blink[at], track.visemes_R15[at])


def _loudness(pcm_S: np.ndarray, time_s: Float) -> Float:
    """Short-time level, 1 at the loud end of normal speech."""
    window = int(0.06 * SAMPLE_RATE_HZ)
    power = np.convolve(pcm_S.astype(float) ** 2, np.ones(window) / window, "same")
    level = np.sqrt(np.maximum(power, 0))
    voiced = level[level > 1e-3]
    level = level / (np.percentile(voiced, 92) if len(voiced) else 1.0)
    return np.interp(time_s, np.arange(len(level)) / SAMPLE_RATE_HZ, level)


def _smoothed(values: Float, window_s: float) -> Float:
    kernel = np.hanning(int(window_s * RATE_HZ) | 1)
    half = len(kernel) // 2
    return np.convolve(np.pad(values, half, "edge"), kernel / kernel.sum(), "valid")


def _drift(steps: int, cutoff_hz: float, rng: np.random.Generator) -> Float:
    """Slow random movement of unit strength."""
    noise = rng.normal(size=steps + 16 * RATE_HZ)
    frequency = np.fft.rfftfreq(len(noise), 1 / RATE_HZ)
    slow = np.fft.irfft(np.fft.rfft(noise) / (1 + (frequency / cutoff_hz) ** 4), len(noise))
    return np.asarray(slow / slow.std())[8 * RATE_HZ : 8 * RATE_HZ + steps]


def _head(time_s: Float, emphasis: Float, rng: np.random.Generator) -> tuple[Float, Float]:
    """Turns (pitch, yaw, roll) and shift: slow drift, nods on emphasis, breath."""
    n = len(time_s)
    pitch = 1.0 * _drift(n, 0.35, rng) + 0.7 * _drift(n, 0.9, rng) + 2.2 * emphasis
    yaw = 2.6 * _drift(n, 0.25, rng) + 0.8 * _drift(n, 0.8, rng)
    roll = 1.2 * _drift(n, 0.3, rng) + 0.4 * _drift(n, 0.8, rng)
    breath = np.sin(2 * np.pi * time_s / 3.9 + 0.6 * _drift(n, 0.05, rng))
    shift = [0.030 * _drift(n, 0.22, rng), 0.012 * breath + 0.006 * _drift(n, 0.3, rng), 0.025 * _drift(n, 0.2, rng)]
    return np.radians(np.stack([pitch, yaw, roll], 1)), np.stack(shift, 1)


def _blinks(time_s: Float, rng: np.random.Generator) -> Float:
    """Lid closure over time: quick down, short hold, slower up, every two to five seconds."""
    closed = np.zeros(len(time_s))
    start = rng.uniform(0.8, 2.5)
    while start < time_s[-1]:
        since = time_s - start
        down = smoothstep(0, _BLINK_CLOSE_S, since)
        up = smoothstep(0, _BLINK_OPEN_S, since - _BLINK_CLOSE_S - _BLINK_HOLD_S)
        closed = np.maximum(closed, down * (1 - up))
        start += rng.uniform(1.8, 5.0) if rng.random() > 0.08 else rng.uniform(0.45, 0.6)
    return closed


def _gaze(time_s: Float, head: Float, rng: np.random.Generator) -> Float:
    """Eyes (pitch, yaw) that hold the camera while the head moves, with small saccades."""
    glance, start = np.zeros((len(time_s), 2)), 0.0
    while start < time_s[-1]:
        stop = start + rng.uniform(0.5, 2.2)
        glance[(time_s >= start) & (time_s < stop)] = np.radians(rng.normal(size=2) * [0.7, 1.4])
        start = stop
    glance = np.stack([_smoothed(column, 0.045) for column in glance.T], 1)
    return np.asarray(glance - 0.9 * head[:, :2])


def _faces(
    mouth_RU: Float, loudness: Float, emphasis: Float, blink: Float, gaze: Float, rng: np.random.Generator
) -> dict[str, Float]:
    """All face units over time: the mouth, scaled by loudness, and what plays around it."""
    n = len(mouth_RU)
    opening = np.clip(0.82 + 0.30 * np.clip(loudness, 0, 1.2), 0.8, 1.15)
    faces = {unit: mouth_RU[:, i] for i, unit in enumerate(UNITS)}
    for unit in faces:
        if unit.startswith(("jawOpen", "mouthUpperUp", "mouthLowerDown")):
            faces[unit] = faces[unit] * opening
    rounded = np.clip(faces["mouthPucker"] + faces["mouthFunnel"], 0, 1)
    smile = (_SMILE + 0.035 * np.clip(_drift(n, 0.12, rng), -2, 2)) * (1 - 0.6 * rounded)
    brow = np.clip(0.22 * _drift(n, 0.5, rng) + 0.9 * emphasis, -0.15, 0.6)
    looking_down = np.clip(gaze[:, 0] / np.radians(25), -0.5, 0.5)
    for side, tilt in (("Left", 1.0), ("Right", 0.92)):
        faces[f"mouthSmile{side}"] = faces[f"mouthSmile{side}"] + smile * tilt
        faces[f"cheekSquint{side}"] = 0.6 * smile
        faces[f"eyeSquint{side}"] = np.full(n, 0.10)
        faces[f"browOuterUp{side}"] = 0.4 * tilt * np.maximum(brow, 0)
        faces[f"browDown{side}"] = np.maximum(-brow, 0)
        faces[f"eyeBlink{side}"] = np.maximum(1.04 * blink, _LIDS_AT_REST + 0.25 * np.maximum(looking_down, 0))
        faces[f"eyeLookUp{side}"] = np.maximum(-looking_down, 0)
    faces["browInnerUp"] = 0.08 + 0.5 * np.maximum(brow, 0)
    return faces
