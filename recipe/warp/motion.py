"""Life without sound: a loop of small movements of head, lids, brows and gaze, from a seed.

The loop is walked to and fro (0, 1, .. N - 1, N - 2, .. 1, 0, ..), as the frames of a filmed avatar are: everything
comes to rest towards both ends, so that turning back is not seen, and lids are open there.

Axes: N frames of the loop (25/s).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from recipe.recipe_328 import FPS
from recipe.warp.curves import Float, smoothstep

Float32 = NDArray[np.float32]
LOOP_S: Final = 10.0
_REST_S: Final = 0.6  # before an end the movement dies away
# Of slow drift and of quicker play on top of it: strength (units of HEAD_MOVES) and Hz.
_DRIFT: Final = ((0.012, 0.16), (0.007, 0.20), (0.014, 0.22), (0.030, 0.18), (0.014, 0.25))
_PLAY: Final = ((0.003, 0.6), (0.002, 0.6), (0.004, 0.7), (0.008, 0.6), (0.007, 0.7))
_BREATH_S, _BREATH = 3.9, 0.006  # one breath, and how far it lifts the head in eye distances
_BLINK_EVERY_S: Final = 4.0  # or a little more often; from one to the next 2 to 6 s
_BLINKS: Final = (0.7, 1.3)  # how uneven the intervals are, before they are made to fill the loop
_CLOSE_S, _HOLD_S, _OPEN_S = 0.09, 0.04, 0.18
_GLANCES_S: Final = (0.7, 2.4)  # how long the eyes rest on a place
_GLANCE: Final = (0.16, 0.10)  # how far from it they wander, in full gazes
_SACCADE_S: Final = 0.06
_FOLLOW: Final = 5.0  # full gazes per radian that the eyes hold against the head's turn
_BROWS: Final = 0.16


@dataclass(frozen=True)
class IdleMotion:
    """One entry per frame of the loop; see `recipe.warp.units` for the units."""

    head_N5: Float32
    blink_N: Float32
    brows_N: Float32
    gaze_N2: Float32

    def __len__(self) -> int:
        return len(self.blink_N)


def idle_motion(seed: int, seconds: float = LOOP_S, amount: float = 1.0) -> IdleMotion:
    """The same arguments give the same loop.

    Args:
        seed: which loop.
        seconds: its length, at least 3.
        amount: of the head's movement; blinks, brows and gaze do not change.
    Raises:
        ValueError: it would be too short for a blink.
    """
    if seconds < 3:
        raise ValueError(f"a loop of {seconds} s; expected at least 3 s")
    rng = np.random.default_rng([seed, 328])
    frames = round(seconds * FPS)
    time_s = (np.arange(frames) + 0.5) / FPS
    to_end = np.minimum(time_s, time_s[::-1])
    rest = smoothstep(0, _REST_S, to_end)
    parts = [[strength * _drift(frames, hz, rng) for strength, hz in kind] for kind in (_DRIFT, _PLAY)]
    head = np.stack(parts[0], axis=-1) + np.stack(parts[1], axis=-1)
    head[:, 1] += _BREATH * np.sin(2 * np.pi * time_s / _BREATH_S + rng.uniform(0, 2 * np.pi))
    head *= amount * rest[:, None]
    gaze = _glances(time_s, rng) * rest[:, None] - _FOLLOW * head[:, 3:5]
    brows = _BROWS * _drift(frames, 0.3, rng) * rest
    return IdleMotion(
        head.astype(np.float32),
        _blinks(time_s, rng).astype(np.float32),
        np.clip(brows, -0.3, 0.5).astype(np.float32),
        np.clip(gaze, -1, 1).astype(np.float32),
    )


def _drift(frames: int, hz: float, rng: np.random.Generator) -> Float:
    """Slow random movement of unit strength, at most 2."""
    noise = rng.normal(size=frames + 16 * FPS)
    frequency = np.fft.rfftfreq(len(noise), 1 / FPS)
    slow = np.fft.irfft(np.fft.rfft(noise) / (1 + (frequency / hz) ** 4), len(noise))
    return np.asarray(np.clip(slow / slow.std(), -2, 2)[8 * FPS : 8 * FPS + frames])


def _blinks(time_s: Float, rng: np.random.Generator) -> Float:
    """Quick down, short hold, slower up; none that an end of the loop would cut."""
    seconds = len(time_s) / FPS
    closed = np.zeros(len(time_s))
    # Walked to and fro, the way from the last blink to the end and back counts twice: ends get half of an interval.
    intervals = rng.uniform(*_BLINKS, size=int(np.ceil(seconds / _BLINK_EVERY_S)) + 1)
    intervals[[0, -1]] /= 2
    middles_s = np.cumsum(intervals)[:-1] / intervals.sum() * seconds
    for start in middles_s - (_CLOSE_S + _HOLD_S + _OPEN_S) / 2:
        since = time_s - start
        down = smoothstep(0, _CLOSE_S, since)
        up = smoothstep(0, _OPEN_S, since - _CLOSE_S - _HOLD_S)
        closed = np.maximum(closed, down * (1 - up))
    return closed


def _glances(time_s: Float, rng: np.random.Generator) -> Float:
    """Eyes that rest and jump: (N, 2) in full gazes."""
    glance, start = np.zeros((len(time_s), 2)), 0.0
    before = np.zeros(2)
    while start < time_s[-1]:
        stop = start + rng.uniform(*_GLANCES_S)
        target = rng.normal(size=2) * _GLANCE
        share = smoothstep(0, _SACCADE_S, time_s - start)[:, None]
        glance = np.where((time_s >= start)[:, None], before + (target - before) * share, glance)
        before, start = target, stop
    return glance
