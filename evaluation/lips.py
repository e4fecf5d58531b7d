"""Metrics of the mouth's movement, from landmarks of drawn and filmed frames.

Landmarks are `landmarks_TK2`: 478 face-mesh points per frame in pixels, NaN where no face was found. An
*opening* is the distance of the inner lips (13-14) over that of the outer eye corners (33-263), so it has no
unit. Axes: T frames, K landmarks.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from evaluation.value import Value, known, unknown
from recipe.mouth import INNER_LIPS, LIPS, eye_distance

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

MOVE_THRESHOLD = 0.015  # of the eye distance: about 1.3 mm, four times the detector's jitter
LAG_RANGE = 10
MIN_FRAMES = 15
_LAG_MIN_R = 0.3
_FLAT = 1e-6


def opening_T(landmarks_TK2: NDArray[np.floating]) -> Floats:
    """Mouth opening per frame (see the module's head); NaN where no face was found."""
    upper, lower = (landmarks_TK2[:, i] for i in INNER_LIPS)
    return np.asarray(np.linalg.norm(upper - lower, axis=1) / eye_distance(landmarks_TK2), np.float64)


def landmark_distance(drawn_TK2: NDArray[np.floating], filmed_TK2: NDArray[np.floating]) -> Value:
    """LMD: mean distance of the 40 lip points between drawn and filmed frames, percent of the eye distance."""
    distance = np.linalg.norm(drawn_TK2[:, LIPS] - filmed_TK2[:, LIPS], axis=2).mean(axis=1)
    percent = 100 * distance / eye_distance(filmed_TK2)
    found = np.isfinite(percent)
    if not found.any():
        return unknown("no frame in which both the drawn and the filmed face were found")
    return known(float(percent[found].mean()))


def pearson(drawn_T: Floats, filmed_T: Floats) -> Value:
    """Correlation of two opening curves over the frames known in both."""
    drawn, filmed, problem = _paired(drawn_T, filmed_T)
    if problem:
        return unknown(problem)
    if drawn.std() < _FLAT or filmed.std() < _FLAT:
        return unknown(f"the mouth of the {'drawn' if drawn.std() < _FLAT else 'filmed'} frames never moves")
    return known(float(np.corrcoef(drawn, filmed)[0, 1]))


def concordance(drawn_T: Floats, filmed_T: Floats) -> Value:
    """Lin's concordance (CCC): 1 only if the curves agree in time, size and resting level."""
    drawn, filmed, problem = _paired(drawn_T, filmed_T)
    if problem:
        return unknown(problem)
    spread = drawn.var() + filmed.var() + (drawn.mean() - filmed.mean()) ** 2
    if spread < _FLAT**2:
        return unknown("neither mouth ever moves")
    covariance = np.mean((drawn - drawn.mean()) * (filmed - filmed.mean()))
    return known(float(2 * covariance / spread))


def amplitude_ratio(drawn_T: Floats, filmed_T: Floats) -> Value:
    """Standard deviation of the opening, drawn over filmed: below 1 mumbles, above 1 exaggerates."""
    drawn, filmed, problem = _paired(drawn_T, filmed_T)
    if problem:
        return unknown(problem)
    if filmed.std() < _FLAT:
        return unknown("the mouth of the filmed frames never moves")
    return known(float(drawn.std() / filmed.std()))


def best_lag(drawn_T: Floats, filmed_T: Floats, segment_T: NDArray[np.int64]) -> Value:
    """Frames by which the drawn mouth is late (negative: early), where the correlation peaks.

    Args:
        segment_T: number of the uninterrupted stretch each frame belongs to; no pair crosses two stretches.
    """
    best_r, best = _LAG_MIN_R, None
    for lag in sorted(range(-LAG_RANGE, LAG_RANGE + 1), key=abs):
        later = slice(max(lag, 0), len(drawn_T) + min(lag, 0))
        earlier = slice(max(-lag, 0), len(filmed_T) + min(-lag, 0))
        same = segment_T[later] == segment_T[earlier]
        r = pearson(drawn_T[later][same], filmed_T[earlier][same]).number
        if r is not None and r > best_r:
            best_r, best = r, lag
    if best is None:
        return unknown(f"the curves correlate above {_LAG_MIN_R} at no lag within {LAG_RANGE} frames")
    if abs(best) == LAG_RANGE:
        return unknown(f"the correlation has no peak within {LAG_RANGE} frames; it still rises at {best}")
    return known(float(best))


def silence_move_percent(opening: Floats, silent_T: Flags) -> Value:
    """Share of silent frames whose mouth is away from its own resting level in silence.

    A frame moves when its opening differs from the median over all silent frames by more than
    MOVE_THRESHOLD of the eye distance.
    """
    quiet = opening[silent_T & np.isfinite(opening)]
    if len(quiet) < MIN_FRAMES:
        return unknown(f"only {len(quiet)} silent frames with a face; {MIN_FRAMES} are needed")
    return known(float(100 * np.mean(np.abs(quiet - np.median(quiet)) > MOVE_THRESHOLD)))


def silence_opening_percent(opening: Floats, silent_T: Flags) -> Value:
    """Mean opening in silence, percent of the eye distance: a mouth that rests open shows here."""
    quiet = opening[silent_T & np.isfinite(opening)]
    if len(quiet) < MIN_FRAMES:
        return unknown(f"only {len(quiet)} silent frames with a face; {MIN_FRAMES} are needed")
    return known(float(100 * quiet.mean()))


def pooled_correlation(curves: list[Floats], source: Floats) -> Value:
    """Correlation of several curves with one source curve, each centred first, as one long pair of curves."""
    return pearson(_pooled(curves), _pooled([source] * len(curves)))


def net_correlation(curves: list[Floats], explained: list[Floats], source: Floats) -> Value:
    """`pooled_correlation` with that part of the source which other curves explain by chance taken out.

    Args:
        curves: drawn openings.
        explained: for each of them, the filmed opening that belongs to its sound. A perfect avatar draws just
            these, and scores 0 however much they happen to resemble the source.
        source: filmed opening of the frames that were drawn on.
    """
    drawn, other, own = _pooled(curves), _pooled(explained), _pooled([source] * len(curves))
    known = np.isfinite(drawn) & np.isfinite(other) & np.isfinite(own)
    if not known.any():
        return unknown("no frame in which all faces were found")
    drawn, other, own = (curve[known] - curve[known].mean() for curve in (drawn, other, own))
    power = float(other @ other)
    return pearson(drawn, own - other * (float(other @ own) / power) if power > 0 else own)


def runs(flags_T: Flags, segment_T: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Uninterrupted stretches [start, stop) of frames that are flagged, not crossing segments."""
    start: int | None = None
    for t, flag in enumerate(flags_T):
        if start is not None and (not flag or segment_T[t] != segment_T[t - 1]):
            yield start, t
            start = None
        if flag and start is None:
            start = t
    if start is not None:
        yield start, len(flags_T)


def _paired(drawn_T: Floats, filmed_T: Floats) -> tuple[Floats, Floats, str]:
    found = np.isfinite(drawn_T) & np.isfinite(filmed_T)
    if found.sum() < MIN_FRAMES:
        problem = f"only {int(found.sum())} frames in which both faces were found; {MIN_FRAMES} are needed"
        return drawn_T[:0], filmed_T[:0], problem
    return drawn_T[found], filmed_T[found], ""


def _pooled(curves: list[Floats]) -> Floats:
    """The curves one after the other, each centred; one without any known value stays unknown."""
    return np.concatenate(
        [curve - (curve[np.isfinite(curve)].mean() if np.isfinite(curve).any() else 0) for curve in curves]
    )
