"""A mouth as fifteen numbers: the units that lips, jaw and tongue are told by, the same for everybody.

The order is that of the presenter's mouth units with both sides as one; all zeros is the closed mouth at rest. Ears
give such vectors, text with phones and times gives them, and the warp draws them.

Axes: T video frames (25/s), U mouth units.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from recipe.articulation.coarticulation import RATE_HZ, UNITS, Segment, mouth_at, mouth_track
from recipe.articulation.visemes import SHAPES
from recipe.recipe_328 import FPS

MOUTH_UNITS: Final = tuple(unit.removesuffix("Left") for unit in UNITS if not unit.endswith("Right"))
_ONE_SIDE: Final = tuple(number for number, unit in enumerate(UNITS) if not unit.endswith("Right"))
# How far a full unit parts the lips in the middle, mm of an average face; negative presses them together. Measured on
# the presenter's face.
GAP_MM_U: Final = (34.8, 0.0, 13.1, 3.8, -2.4, -2.4, -3.2, -1.2, -2.8, 0.6, 5.0, 0.0, 0.0, 0.0, 0.0)


_SEEN_MM: Final = 0.8  # of a gap


def opening_mm(units_TU: NDArray[np.floating]) -> NDArray[np.float64]:
    """How far the lips stand apart in the middle, mm of an average face; 0 where they touch. Any leading axes."""
    return np.maximum(np.asarray(units_TU, np.float64) @ np.array(GAP_MM_U), 0.0)


def lips_close(units_TU: NDArray[np.floating]) -> NDArray[np.float64]:
    """How surely the lips are to touch, 0..1: 1 where they are pressed together, 0 where a gap is asked for that can be
    seen. Any leading axes."""
    return np.clip(1 - np.asarray(units_TU, np.float64) @ np.array(GAP_MM_U) / _SEEN_MM, 0.0, 1.0)


def shape_units(shape: str) -> NDArray[np.float32]:
    """The vector of one of `visemes.SHAPES`."""
    weights = SHAPES[shape]
    return np.array([weights.get(UNITS[number], 0.0) for number in _ONE_SIDE], np.float32)


def spoken_units(segments: Sequence[Segment], frames: int) -> NDArray[np.float32]:
    """What the mouth does in every frame of an utterance whose sounds and times are known, (T, U).

    Args:
        segments: from `coarticulation.segments_of`.
        frames: length of the utterance; a frame is its middle.
    """
    track = mouth_track(segments, frames / FPS)
    at = np.minimum(((np.arange(frames) + 0.5) / FPS * RATE_HZ).round().astype(int), len(track.weights_RU) - 1)
    return track.weights_RU[at][:, _ONE_SIDE].astype(np.float32)


def units_of_frame(segments: Sequence[Segment], frame: int) -> NDArray[np.float32]:
    """What the mouth does in one frame, as in `spoken_units` to the last digits, (U,).

    Args:
        segments: at least all that come within `coarticulation.NEEDS_S` of its middle.
        frame: its number.
    """
    return mouth_at(segments, round((frame + 0.5) / FPS * RATE_HZ))[list(_ONE_SIDE)].astype(np.float32)


def lips_meet(segments: Sequence[Segment], frames: int) -> NDArray[np.bool_]:
    """Frames whose middle lies in a p, b or m, (T,); every one of them has at least the frame nearest to its middle."""
    meet_T = np.zeros(frames, bool)
    for segment in segments:
        if segment.shape == "PP":
            first = int(np.ceil(segment.start_s * FPS - 0.5))
            last = int(np.floor(segment.stop_s * FPS - 0.5))
            middle = int((segment.start_s + segment.stop_s) / 2 * FPS)
            meet_T[max(min(first, middle), 0) : max(last, middle) + 1] = True
    return meet_T
