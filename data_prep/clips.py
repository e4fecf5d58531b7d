"""Find the jump cuts of a recording: no window, pair of references or temporal loss may cross one.

Axes: T video frames (25/s), h w thumbnail rows and columns, P transitions (P = T - 1), D what changes.

A cut is a change of the picture and of the head's position that does not continue the motion around it, is large
beside it, and lasts one transition only. A fast head turn is large too, but goes on over several transitions; a
flash or a flicker makes two in a row (there and back); a frame dropped between 30 and 25 fps doubles one transition
in the direction of its neighbours; a frame that a slow camera repeats leaves every second or third one at zero.
"""

from __future__ import annotations

import itertools
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import percentile_filter

_NEIGHBOURS: Final = 2  # transitions to each side with whose change a cut is compared
_SURROUNDINGS: Final = 25  # transitions, one second
_USUAL_PERCENTILE: Final = 75  # a 10 fps source repeated to 25 fps moves in 40 % of its transitions
_BLOCK: Final = 500
_CONTINUED_MOST: Final = 3.0  # a transition may be so many times the mean of its neighbours and still continue them
_PICTURE_FLOOR: Final = 0.010  # change of a standardised thumbnail by noise and coding alone
_GEOMETRY_FLOOR_PX: Final = 2.0  # change of the crop's position by landmark noise alone
# Measured on five clips without a cut (fast head shakes, 30 -> 25 fps, VFR): at most 1.4 and 2.2. Of 1500 jumps cut
# into them, those over 40 crop px score higher in 95 %, those of 20-40 px in 81 %.
_CUT_TOGETHER: Final = 1.9
_CUT_PICTURE: Final = 3.2  # no face on one side, or the head happens to come back to the same place
_PROBES_XY: Final = np.array([[100, 80], [228, 80], [164, 130], [164, 240]], np.float64)  # crop px: eyes, nose, chin

Floats = NDArray[np.float64]


def find_clips(
    thumbnails_THW: NDArray[np.uint8], affine_T23: NDArray[np.float32], valid_T: NDArray[np.bool_]
) -> list[tuple[int, int]]:
    """Split a recording at its jump cuts.

    Args:
        thumbnails_THW: grey pictures of the whole frame, about 64 px long.
        affine_T23: frame px -> crop px, NOT smoothed over time (smoothing hides the cuts).
        valid_T: frames that have a face; the others' affine is ignored.
    Returns:
        Half-open frame ranges in order that cover all frames.
    """
    frames = len(thumbnails_THW)
    if frames < 2:
        return [(0, frames)] if frames else []
    picture = _cut_score(*_picture_surprise(thumbnails_THW), _PICTURE_FLOOR)
    geometry = _cut_score(*_surprise(_geometry_change(affine_T23, valid_T)), _GEOMETRY_FLOOR_PX)
    is_cut = (np.sqrt(picture * geometry) > _CUT_TOGETHER) | (picture > _CUT_PICTURE)
    return list(itertools.pairwise([0, *(np.flatnonzero(is_cut) + 1).tolist(), frames]))


def _picture_surprise(thumbnails_THW: NDArray[np.uint8]) -> tuple[Floats, Floats]:
    """`_surprise` of the picture, block by block, so that an hour of thumbnails needs no gigabytes."""
    transitions = len(thumbnails_THW) - 1
    surprise, size = np.zeros(transitions), np.zeros(transitions)
    for start in range(0, transitions, _BLOCK):
        first, stop = max(0, start - 1), min(transitions, start + _BLOCK)
        block = _surprise(_picture_change(thumbnails_THW[first : stop + 2]))  # one neighbour to each side
        surprise[start:stop], size[start:stop] = (values[start - first :][: stop - start] for values in block)
    return surprise, size


def _picture_change(thumbnails_THW: NDArray[np.uint8]) -> Floats:
    """Mean change per transition, (P, D); thumbnails are standardised so that a change of light does not count."""
    flat = thumbnails_THW.reshape(len(thumbnails_THW), -1).astype(np.float64)
    flat -= flat.mean(1, keepdims=True)
    flat /= np.maximum(flat.std(1, keepdims=True), 1.0)
    return np.diff(flat, axis=0) / flat.shape[1]


def _geometry_change(affine_T23: NDArray[np.float32], valid_T: NDArray[np.bool_]) -> Floats:
    """Mean motion of the face per transition, (P, D), in crop px whatever its size in the frame; 0 where unknown."""
    change = np.zeros((len(valid_T) - 1, _PROBES_XY.size))
    pairs = np.flatnonzero(valid_T[1:] & valid_T[:-1])
    before, after = affine_T23[pairs].astype(np.float64), affine_T23[pairs + 1].astype(np.float64)
    probes_frame = np.linalg.solve(before[:, :, :2], _PROBES_XY.T - before[:, :, 2:])  # (pairs, 2, probes)
    moved = after[:, :, :2] @ probes_frame + after[:, :, 2:] - _PROBES_XY.T
    change[pairs] = moved.reshape(len(pairs), -1) / len(_PROBES_XY)
    return change


def _surprise(change_PD: Floats) -> tuple[Floats, Floats]:
    """Size of the part of each transition that does not continue its neighbours, and of the whole of it."""
    nothing = np.zeros((1, change_PD.shape[1]))
    around = np.concatenate([nothing, change_PD[:-1]]) + np.concatenate([change_PD[1:], nothing])
    share = (change_PD * around).sum(1) / np.maximum((around * around).sum(1), 1e-12)
    rest = change_PD - np.clip(share, 0, _CONTINUED_MOST / 2)[:, None] * around
    return np.abs(rest).sum(1), np.abs(change_PD).sum(1)


def _cut_score(surprise: Floats, size: Floats, floor: float) -> Floats:
    """The surprise of each transition against the size of what is around it."""
    padded = np.pad(size, _NEIGHBOURS)
    beside = [padded[k : k + len(size)] for k in range(2 * _NEIGHBOURS + 1) if k != _NEIGHBOURS]
    usual = percentile_filter(size, _USUAL_PERCENTILE, size=_SURROUNDINGS, mode="mirror")
    score: Floats = surprise / (np.maximum(np.max(beside, axis=0), usual) + floor)
    return score
