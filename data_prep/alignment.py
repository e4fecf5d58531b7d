"""Where the 328-px crop lies in a frame, and how it is cut.

The crop follows the rigid points of the face only (corners of the eyes, bridge of the nose): what a mouth or a jaw does
must not move the crop, or the crop's movement would tell the network what the mouth does. The trembling of the
landmarks is taken out, so that the face stands still in the crop.

Axes: T video frames (25/s), K landmarks, R rigid points, H W C image. An affine (2, 3) maps frame px to crop px.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from recipe.mouth import OUTER_EYE_CORNERS
from recipe.recipe_328 import CHIN_Y, SUBNASALE_XY

RIGID_POINTS: Final = (33, 133, 362, 263, 168, 6, 197, 195)
SUBNASALE, CHIN = 2, 152
# Movement in the crop that is quicker than a Gaussian of this width is taken out. Measured against the synthetic
# presenter's true eyes: change of step from frame to frame 1.42 px before, 0.14 px after.
_STEADY_FRAMES: Final = 4.0
_NOSE_ROOT_XY: Final = (164.0, 60.0)  # middle of the part of the crop on which movement is measured
_CLOSED_SHARE: Final = 0.25  # the least open frames count as closed
_ALIGN_ROUNDS: Final = 4


def person_template(landmarks_TK2: NDArray[np.float32], opening_T: NDArray[np.float32]) -> NDArray[np.float64]:
    """The person's median rigid points as they shall lie in the crop.

    The line of the eyes is level, the median point under the nose and the median chin of the closed mouth lie where
    the recipe wants them.

    Args:
        landmarks_TK2: frames with a good face only.
        opening_T: their mouth opening.
    Returns:
        (R, 2) crop px.
    """
    rigid = landmarks_TK2[:, RIGID_POINTS].astype(np.float64)
    shape = rigid[len(rigid) // 2]
    for _ in range(_ALIGN_ROUNDS):
        to_shape = similarity(rigid, shape)
        shape = np.median(_apply(to_shape, rigid), axis=0)
    to_shape = similarity(rigid, shape)
    keep = [SUBNASALE, CHIN, *OUTER_EYE_CORNERS]
    subnasale, chin, left, right = _apply(to_shape, landmarks_TK2[:, keep].astype(np.float64)).transpose(1, 0, 2)
    closed = opening_T <= np.quantile(opening_T, _CLOSED_SHARE)
    nose, chin_xy = np.median(subnasale, axis=0), np.median(chin[closed], axis=0)
    eyes = np.median(right - left, axis=0)
    level = complex(*eyes).conjugate() / abs(complex(*eyes))
    turned = _complex(np.stack([*shape, nose, chin_xy])) * level
    scale = (CHIN_Y - SUBNASALE_XY[1]) / (turned[-1] - turned[-2]).imag
    placed = (turned[:-2] - turned[-2]) * scale + complex(*SUBNASALE_XY)
    return np.stack([placed.real, placed.imag], axis=-1)


def similarity(from_TK2: NDArray[np.floating], to_K2: NDArray[np.floating]) -> NDArray[np.float64]:
    """Least-squares turn, size and shift (no reflection) that take each frame's points to the given ones: (T, 2, 3)."""
    z, w = _complex(from_TK2), _complex(to_K2)
    z_mean, w_mean = z.mean(-1, keepdims=True), w.mean(-1, keepdims=True)
    z_free, w_free = z - z_mean, w - w_mean
    turn = (z_free.conj() * w_free).sum(-1) / np.maximum((np.abs(z_free) ** 2).sum(-1), 1e-12)
    return _affine(turn, w_mean[..., 0] - turn * z_mean[..., 0])


def face_affines(
    landmarks_TK2: NDArray[np.float32],
    valid_T: NDArray[np.bool_],
    template_R2: NDArray[np.float64],
) -> NDArray[np.float32]:
    """Frame px -> crop px for every frame, not smoothed; zeros where not valid."""
    affine_T23 = np.zeros((len(valid_T), 2, 3), np.float32)
    affine_T23[valid_T] = similarity(landmarks_TK2[valid_T][:, RIGID_POINTS], template_R2)
    return affine_T23


def steady_affines(
    affine_T23: NDArray[np.float32],
    valid_T: NDArray[np.bool_],
    clips: list[tuple[int, int]],
    motion_T23: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Take the trembling of the landmarks out of the crop, without delay, inside runs of valid frames of one clip.

    Simple smoothing over time would not do: a head moves faster than landmarks tremble, and in a recording brought
    from 30 to 25 frames per second every fifth step is double. So the movement that is seen IN the crop is taken
    out, as far as it is quick; what is slow stays as the landmarks say.

    Args:
        affine_T23: from `face_affines`.
        motion_T23: how the face moved from the frame before to this one, frame px; NaN where unknown, where the
            landmarks are trusted.
    """
    from scipy.ndimage import gaussian_filter1d  # here: a server only crops, and SciPy was a quarter of its imports

    steady = np.zeros_like(affine_T23)
    for start, stop in valid_runs(valid_T, clips):
        affine = affine_T23[start:stop].astype(np.float64)
        path = np.cumsum(_steps_in_crop(affine, motion_T23[start:stop].astype(np.float64)), axis=0)
        tremble = path - gaussian_filter1d(path, _STEADY_FRAMES, axis=0, mode="nearest")
        steady[start:stop] = _undo(tremble, affine)
    return steady


def valid_runs(valid_T: NDArray[np.bool_], clips: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Half-open ranges of neighbouring valid frames that cross no cut."""
    runs = []
    for start, stop in clips:
        padded = np.concatenate([[0], valid_T[start:stop].astype(np.int8), [0]])
        edges = np.flatnonzero(np.diff(padded)) + start
        runs += [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]
    return runs


def _steps_in_crop(affine_T23: NDArray[np.float64], motion_T23: NDArray[np.float64]) -> NDArray[np.float64]:
    """Movement of the face inside the crop since the frame before: (T, 4) log size, turn, and x, y at the nose root."""
    steps = np.zeros((len(affine_T23), 4))
    known = np.flatnonzero(np.isfinite(motion_T23).all(axis=(1, 2)))
    known = known[known > 0]
    before, now, motion = (_square(a) for a in (affine_T23[known - 1], affine_T23[known], motion_T23[known]))
    moved = now @ motion @ np.linalg.inv(before)
    turn = moved[:, 0, 0] + 1j * moved[:, 1, 0]
    shift = moved[:, :2] @ np.array([*_NOSE_ROOT_XY, 1.0]) - _NOSE_ROOT_XY
    steps[known] = np.column_stack([np.log(np.abs(turn)), np.angle(turn), shift])
    return steps


def _undo(steps_T4: NDArray[np.float64], affine_T23: NDArray[np.float64]) -> NDArray[np.float64]:
    """The affines followed by the inverse of small movements as `_steps_in_crop` gives them."""
    back = np.exp(-steps_T4[:, 0] - 1j * steps_T4[:, 1])
    root, moved = complex(*_NOSE_ROOT_XY), steps_T4[:, 2] + 1j * steps_T4[:, 3]
    turn = affine_T23[:, 0, 0] + 1j * affine_T23[:, 1, 0]
    shift = affine_T23[:, 0, 2] + 1j * affine_T23[:, 1, 2]
    return _affine(back * turn, back * (shift - root - moved) + root)


def _square(affine_T23: NDArray[np.float64]) -> NDArray[np.float64]:
    last_row = np.broadcast_to([0.0, 0.0, 1.0], (len(affine_T23), 1, 3))
    return np.concatenate([affine_T23, last_row], axis=1)


def _complex(points: NDArray[np.floating]) -> NDArray[np.complex128]:
    return np.asarray(points[..., 0] + 1j * points[..., 1], np.complex128)


def _affine(turn: NDArray[np.complex128], shift: NDArray[np.complex128]) -> NDArray[np.float64]:
    rows = [[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]]
    return np.moveaxis(np.array(rows), (0, 1), (-2, -1))


def _apply(affine_T23: NDArray[np.float64], points_TK2: NDArray[np.float64]) -> NDArray[np.float64]:
    moved: NDArray[np.float64] = points_TK2 @ affine_T23[:, :, :2].swapaxes(1, 2) + affine_T23[:, None, :, 2]
    return moved
