"""The presenter's units on somebody else's face: a rigid fit in depth, the mouth's width, the chin's height.

Axes: K landmarks, U mouth units. Pictures: x to the right, y down, z away from the camera, px.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from recipe.articulation.mouth_units import MOUTH_UNITS
from recipe.warp.basis import UNDER_CHIN, Float, load_basis
from recipe.warp.points import (
    ABOVE_LIPS,
    BELOW_LIPS,
    CHEEKS,
    CHIN,
    EYE_CORNERS,
    LANDMARKS,
    LOWER_INNER,
    LOWER_LIP,
    LOWER_MIDDLE,
    LOWER_SECOND,
    MOUTH_CORNERS,
    NOSE_TIP,
    SKIN,
    UNDER_NOSE,
    UPPER_INNER,
    UPPER_LIP,
    UPPER_MIDDLE,
    UPPER_SECOND,
)

_FLIP: Final = np.array([1.0, -1.0, -1.0])  # the basis' axes to the picture's
_PROPORTION: Final = (0.8, 1.25)  # of a mouth or chin, against the presenter's
_STEADY: Final = [k for k in range(SKIN) if k not in {*UPPER_LIP, *LOWER_LIP, *MOUTH_CORNERS, *UNDER_CHIN}]
# Of a full smile: serious faces reach .4, and from there on the mesh finds half of what is drawn.
_NO_SMILE, _SMILE_GAIN, _MOST_SMILE = 0.4, 2.0, 0.5
_OPEN: Final = 0.035  # inner lips this far apart, in eye distances, show something between them
_TEETH_LIGHT: Final = 0.75  # of the skin's brightness: what shines so between the lips are teeth
_OVERLAP: Final = 0.018  # eye distances: lips of an open photo close over the rest of teeth at their edge
# How much of the photo's opening the jaw closes: with teeth in it the mouth smiles rather than hangs open.
_JAW_CLOSES, _JAW_CLOSES_SMILE = 0.7, 0.25


@dataclass(frozen=True)
class Face:
    """A face of a picture and how it moves; px of the picture."""

    points_K3: Float
    units_UK2: Float  # what a full unit adds to the landmarks
    closing_K2: Float  # what closes the picture's own mouth
    touching_K2: Float  # what presses an open picture's closed lips upon each other
    turn_33: Float  # from the face's axes to the picture's
    px_per_dm: float  # of the basis, across the mouth
    eye_distance_px: float
    skin_rgb: Float  # of the cheeks, 0..255
    is_open: bool
    own_teeth_HW: NDArray[np.bool_]  # where the picture shows teeth or the like between the lips
    tooth_rgb: Float | None  # their colour; None where it shows none

    @property
    def lip_line_I2(self) -> Float:
        """The line where the closed lips meet, from corner to corner."""
        closed = self.points_K3[:, :2] + self.closing_K2
        return (closed[list(UPPER_INNER)] + closed[list(LOWER_INNER)]) / 2


def fit_face(rgb_HWC: NDArray[np.uint8], points_K3: NDArray[np.floating]) -> Face:
    """Retarget the units to a face and find how its mouth closes.

    Args:
        rgb_HWC: the picture.
        points_K3: the 478 landmarks, px, depth growing away from the camera.
    Raises:
        ValueError: other landmarks.
    """
    points = np.asarray(points_K3, np.float64)
    if points.shape != (LANDMARKS, 3):
        raise ValueError(f"landmarks of shape {points.shape}, expected ({LANDMARKS}, 3): use data_prep's face mesh")
    basis = load_basis()
    scale, turn = _rigid_fit(basis.rest_K3[_STEADY] * _FLIP, points[_STEADY])
    local = (points - points[NOSE_TIP]) @ turn
    rest = (basis.rest_K3 - basis.rest_K3[NOSE_TIP]) * _FLIP * scale
    corners = [UPPER_INNER[0], UPPER_INNER[-1]]
    wide = float(np.clip(np.ptp(local[corners, 0]) / np.ptp(rest[corners, 0]), *_PROPORTION))
    chin = (local[CHIN, 1] - local[UNDER_NOSE, 1]) / (rest[CHIN, 1] - rest[UNDER_NOSE, 1])
    tall = float(np.clip(chin, *_PROPORTION))
    units = (basis.offsets_UK3 * _FLIP * scale * np.array([wide, tall, 1.0])) @ turn.T
    eyes = float(np.linalg.norm(np.subtract(*points[list(EYE_CORNERS), :2])))
    skin = _colour_at(rgb_HWC, points[list(CHEEKS), :2])
    own = _between_lips(rgb_HWC.shape[:2], points)
    is_open = _gap(points) > _OPEN * eyes
    teeth = _tooth_colour(rgb_HWC, own, skin) if is_open else None
    closing = _closing(points[:, :2], units[..., :2], is_open, teeth is not None)
    overlap = np.zeros((len(UPPER_INNER), 2))
    overlap[1:-1, 1] = _OVERLAP * eyes if is_open else 0.0
    touching = _together(points[:, :2], overlap)
    return Face(points, units[..., :2], closing, touching, turn, scale * wide, eyes, skin, is_open, own, teeth)


def smile_of(points_K3: NDArray[np.floating]) -> float:
    """How much of a smile a face shows, in mouth units: how high its corners stand against the upper lip.

    Faces at rest differ by a few tenths, so these count as none.
    """
    basis, points = load_basis(), np.asarray(points_K3, np.float64)
    scale, turn = _rigid_fit(basis.rest_K3[_STEADY] * _FLIP, points[_STEADY])
    full = _corners_up(basis.offsets_UK3[MOUTH_UNITS.index("mouthSmile")])
    found = (_corners_up(points @ turn / scale * _FLIP) - _corners_up(basis.rest_K3)) / full
    return float(np.clip(_SMILE_GAIN * (found - _NO_SMILE), 0, _MOST_SMILE))


def _corners_up(points_K3: Float) -> float:
    return float(points_K3[list(MOUTH_CORNERS), 1].mean() - points_K3[UPPER_INNER[len(UPPER_INNER) // 2], 1])


def _rigid_fit(source_N3: Float, target_N3: Float) -> tuple[float, Float]:
    """Size and turn that bring points onto others, least squares (Kabsch, 1976)."""
    a, b = source_N3 - source_N3.mean(0), target_N3 - target_N3.mean(0)
    u, s, vt = np.linalg.svd(a.T @ b)
    signs = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    return float((s * signs).sum() / (a**2).sum()), (u @ np.diag(signs) @ vt).T


def _gap(points_K3: Float) -> float:
    upper, lower = points_K3[list(UPPER_INNER[4:7])], points_K3[list(LOWER_INNER[4:7])]
    return float(np.linalg.norm((lower - upper)[:, :2], axis=1).mean())


def _colour_at(rgb_HWC: NDArray[np.uint8], places_N2: Float) -> Float:
    height, width = rgb_HWC.shape[:2]
    x, y = np.clip(places_N2.astype(int), 0, [width - 1, height - 1]).T
    return np.asarray(cv2.blur(rgb_HWC, (5, 5))[y, x].astype(np.float64).mean(0))


def _between_lips(shape: tuple[int, ...], points_K3: Float) -> NDArray[np.bool_]:
    hole = np.zeros(shape[:2], np.uint8)
    outline = np.concatenate([points_K3[list(UPPER_INNER), :2], points_K3[list(LOWER_INNER), :2][::-1]])
    cv2.fillPoly(hole, [outline.astype(np.int32)], 1)
    return cv2.erode(hole, np.ones((3, 3), np.uint8)) > 0


def _tooth_colour(rgb_HWC: NDArray[np.uint8], between_HW: NDArray[np.bool_], skin_rgb: Float) -> Float | None:
    inside = rgb_HWC[between_HW].astype(np.float64)
    if not len(inside) or np.percentile(inside.mean(1), 60) < _TEETH_LIGHT * skin_rgb.mean():
        return None
    return np.asarray(np.percentile(inside, 75, axis=0))


def _closing(points_K2: Float, units_UK2: Float, is_open: bool, shows_teeth: bool) -> Float:
    """The constant offset that closes the picture's mouth: part of it by the jaw, the rest by the lips themselves."""
    jaw = units_UK2[MOUTH_UNITS.index("jawOpen")]
    drop = max(float(jaw[LOWER_MIDDLE, 1] - jaw[UPPER_MIDDLE, 1]), 1e-3)
    share = 0.0 if not is_open else _JAW_CLOSES_SMILE if shows_teeth else _JAW_CLOSES
    upper, lower = list(UPPER_INNER), list(LOWER_INNER)
    gap = float((points_K2[lower, 1] - points_K2[upper, 1])[4:7].mean())
    offset = -share * gap / drop * jaw
    left = (points_K2 + offset)[lower] - (points_K2 + offset)[upper]
    return offset + _together(points_K2, left)


def _together(points_K2: Float, amount_I2: Float) -> Float:
    """Bring the lips together by so much at the inner lips' points, each half-way: (K, 2).

    Rows further from the inner one follow less, and the skin around the lips a little.
    """
    follows = dict.fromkeys((*UPPER_INNER, *LOWER_INNER), 1.0) | dict.fromkeys((*UPPER_SECOND, *LOWER_SECOND), 0.88)
    follows |= dict.fromkeys((*ABOVE_LIPS, *BELOW_LIPS), 0.38)
    order = np.argsort(points_K2[list(UPPER_INNER), 0])
    x = points_K2[list(UPPER_INNER), 0][order]
    offset = np.zeros_like(points_K2)
    for lip, way in (((*UPPER_LIP, *ABOVE_LIPS), 0.5), ((*LOWER_LIP, *BELOW_LIPS), -0.5)):
        for k in sorted(set(lip) - set(MOUTH_CORNERS)):
            amount = [np.interp(points_K2[k, 0], x, amount_I2[order, axis]) for axis in (0, 1)]
            offset[k] = way * follows.get(k, 0.68) * np.array(amount)
    return offset
