"""Once per source picture: everything that drawing its frames needs, as plain arrays.

A source is a photo or a neutral frame of a film; nothing here knows which.

Axes: H W C picture, K landmarks, C coefficients, I points of the inner lips, N places.
"""

from __future__ import annotations

from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from recipe.articulation.mouth_units import MOUTH_UNITS
from recipe.warp.arrays import BROWS_AT, CLOSING, HEAD_AT, LONGEST_SIDE_PX, TOUCHING, WarpArrays
from recipe.warp.eyes import closed_lid
from recipe.warp.face import Face, fit_face
from recipe.warp.fields import Float, Grid, Interpolator
from recipe.warp.head import HeadFields
from recipe.warp.points import (
    BROWS,
    BROWS_ABOVE,
    CHIN,
    LOWER_INNER,
    LOWER_LIP,
    OVAL,
    SKIN,
    UNDER_NOSE,
    UPPER_INNER,
    UPPER_LIP,
    UPPER_OUTER,
)
from recipe.warp.teeth import mouth_sprites
from recipe.warp.units import HEAD_LIMITS_5

_RINGS: Final = (0.82, 1.3, 2.5)  # of the face's size: there nothing of the face's own movement is left
_BROW_RISE: Final = 0.06  # eye distances
_RESTS_PX: Final = 0.05  # what moves less than this is left out of the moving box
_EDGE: Final = 0.03  # eye distances: the person's outline is taken this much too wide, and this soft
_PLATE_PX: Final = 320  # what lies behind the person is guessed at this size
_CAVITY: Final = (0.20, 0.075, 0.07)  # against the skin's brightness
_MUCOSA: Final = 0.52  # the inside of the cheeks, against the lips' colour


def prepare_source(
    rgb_HWC: NDArray[np.uint8], points_K3: NDArray[np.floating], person_HW: NDArray[np.float32] | None = None
) -> WarpArrays:
    """Work out fields, sprites and lids of a picture; one to three seconds.

    Args:
        rgb_HWC: even sides of at most 1024 px, one face that looks ahead.
        points_K3: mediapipe's 478 landmarks, px, depth in px growing away from the camera.
        person_HW: 0..1, how surely a pixel shows the person; without it the background next to the head bends a little.
    Returns:
        The arrays of `recipe.warp.arrays`.
    Raises:
        ValueError: sizes that do not fit.
    """
    height, width = rgb_HWC.shape[:2]
    if max(height, width) > LONGEST_SIDE_PX or height % 2 or width % 2:
        raise ValueError(f"a picture of {width}x{height} px; expected even sides of at most {LONGEST_SIDE_PX} px")
    points_K3 = np.asarray(points_K3, np.float32)  # as it is kept, so that an opened avatar is the prepared one
    face = fit_face(rgb_HWC, points_K3)
    moves = _FaceMoves(face, HeadFields(face.points_K3, width, height, face.eye_distance_px, person_HW is not None))
    fine = max(2, 2 * round(face.eye_distance_px / 120))
    alpha = np.ones((height, width), np.float32) if person_HW is None else _outline(person_HW, face)
    moving = _moving_box(moves, alpha, face)
    mouth = _mouth_box(face, width, height)
    whole, lips = Grid.over(moving, 4 * fine), Grid.over(mouth, fine)
    upper, lower = (moves.at(lips.places_N2, without) for without in (LOWER_LIP, UPPER_LIP))
    x0, y0, x1, y1 = moving
    behind = rgb_HWC if person_HW is None else _plate(rgb_HWC, alpha)
    sprites = mouth_sprites(face, rgb_HWC)
    arrays: dict[str, NDArray[Any]] = {
        "photo_HWC": np.ascontiguousarray(rgb_HWC),
        "points_K3": points_K3,
        "plate_HWC": np.ascontiguousarray(behind[y0:y1, x0:x1]),
        "person_HW": np.round(alpha * 255).astype(np.uint8),
        "layered": np.array(person_HW is not None, np.uint8),
        "boxes_24": np.array([moving, mouth], np.int32),
        "cells_2": np.array([whole.cell_px, lips.cell_px], np.int32),
        "moving_CRS2": whole.cells(moves.at(whole.places_N2, ())),
        "upper_CRS2": lips.cells(upper),
        "lower_CRS2": lips.cells(lower),
        **_lip_facts(face, moves),
        **_colours(rgb_HWC, face),
        **{f"{name}_HW4": sprite for name, sprite in sprites.items()},
        "own_teeth_HW4": _own_teeth(rgb_HWC, face, mouth),
    }
    for eye in (0, 1):
        arrays[f"lid_{eye}_HWC"] = closed_lid(rgb_HWC, points_K3[:, :2], eye)
    return arrays


class _FaceMoves:
    """All coefficients' fields at any places, interpolated from what they do to the landmarks."""

    def __init__(self, face: Face, head: HeadFields) -> None:
        self._face, self.head = face, head
        moves_CK2 = np.zeros((HEAD_AT, *face.closing_K2.shape))
        moves_CK2[: len(MOUTH_UNITS)] = face.units_UK2
        moves_CK2[CLOSING], moves_CK2[TOUCHING] = face.closing_K2, face.touching_K2
        up = -face.turn_33[:2, 1] * _BROW_RISE * face.eye_distance_px
        moves_CK2[BROWS_AT, list(BROWS)] = up
        moves_CK2[BROWS_AT, list(BROWS_ABOVE)] = 0.5 * up
        self.moves_CK2 = moves_CK2
        oval = face.points_K3[list(OVAL), :2]
        centre, size = (oval.max(0) + oval.min(0)) / 2, np.ptp(oval, 0)
        turn = np.linspace(0, 2 * np.pi, 48, endpoint=False)
        ring = np.stack([np.cos(turn), np.sin(turn)], axis=-1)
        self._anchors = np.concatenate([centre + size * share * ring for share in _RINGS])

    def at(self, where_N2: Float, without: tuple[int, ...]) -> Float:
        """(N, C, 2) px per coefficient, not looking at some landmarks."""
        use = [k for k in range(SKIN) if k not in set(without)]
        values = self.moves_CK2[:, use].transpose(1, 0, 2).reshape(len(use), -1)
        through = Interpolator(self._face.points_K3[use, :2], values, self._anchors, self._face.eye_distance_px)
        own = through(where_N2).reshape(len(where_N2), -1, 2)
        return np.concatenate([own, self.head(where_N2)], axis=1)


def _lip_facts(face: Face, moves: _FaceMoves) -> dict[str, NDArray[Any]]:
    lips = [*UPPER_INNER, *LOWER_INNER]
    at = face.points_K3[lips, :2]
    line = face.lip_line_I2[len(UPPER_INNER) // 2]
    head = moves.head(at).transpose(1, 0, 2)
    jaw = face.units_UK2[MOUTH_UNITS.index("jawOpen"), CHIN]
    facts = {
        "contour_I2": at,
        "contour_CI2": np.concatenate([moves.moves_CK2[:, lips], head]),
        "jaw_2": jaw,
        "anchor_2": line,
        "facing_22": face.turn_33[:2, :2],
        "facts_3": np.array([face.eye_distance_px, face.px_per_dm, face.is_open]),
    }
    return {name: np.asarray(value, np.float32) for name, value in facts.items()}


def _colours(rgb_HWC: NDArray[np.uint8], face: Face) -> dict[str, NDArray[Any]]:
    height, width = rgb_HWC.shape[:2]
    between = (face.points_K3[list(UPPER_INNER[2:-2]), :2] + face.points_K3[list(UPPER_OUTER[2:-2]), :2]) / 2
    x, y = np.clip(between.astype(int), 0, [width - 1, height - 1]).T
    lip = np.median(rgb_HWC[y, x].astype(np.float64), axis=0)
    cavity = np.array(_CAVITY) * face.skin_rgb.mean()
    return {"cavity_3": cavity.astype(np.float32), "mucosa_3": (_MUCOSA * lip).astype(np.float32)}


def _own_teeth(rgb_HWC: NDArray[np.uint8], face: Face, box: tuple[int, int, int, int]) -> NDArray[np.uint8]:
    """The photo's own teeth, fixed to the skull; nothing where it shows none."""
    x0, y0, x1, y1 = box
    shown = np.zeros((y1 - y0, x1 - x0), np.uint8)
    if face.tooth_rgb is not None:
        shown = face.own_teeth_HW[y0:y1, x0:x1].astype(np.uint8) * np.uint8(255)
    shown = np.asarray(cv2.erode(shown, np.ones((3, 3), np.uint8)), np.uint8)
    alpha = cv2.GaussianBlur(shown.astype(np.float32) / 255, (0, 0), 1.2)[..., None]
    sprite = np.concatenate([rgb_HWC[y0:y1, x0:x1] * alpha, 255 * alpha], axis=-1)
    return np.clip(sprite + 0.5, 0, 255).astype(np.uint8)


def _outline(person_HW: NDArray[np.float32], face: Face) -> NDArray[np.float32]:
    """Opacity of the person: taken a little too wide, since a fringe of background that moves is seen less than hair
    that stays."""
    edge = max(2, round(_EDGE * face.eye_distance_px))
    sure = (person_HW > 0.5).astype(np.uint8)
    hull = np.zeros_like(sure)
    cv2.fillConvexPoly(hull, cv2.convexHull(face.points_K3[:SKIN, :2].astype(np.int32)), 1)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * edge + 1, 2 * edge + 1))
    wide = cv2.dilate(np.maximum(sure, hull), disc).astype(np.float32)
    soft = cv2.GaussianBlur(wide, (2 * edge + 1, 2 * edge + 1), edge / 2.5)
    return np.asarray(np.clip(soft * 2 - 1, 0, 1) if edge < 2 else np.clip((soft - 0.02) / 0.96, 0, 1), np.float32)


def _plate(rgb_HWC: NDArray[np.uint8], alpha_HW: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The background alone: outside the person the photo's own pixels, behind it what the surroundings suggest."""
    height, width = rgb_HWC.shape[:2]
    scale = min(1.0, _PLATE_PX / max(height, width))
    size = (max(2, round(width * scale)), max(2, round(height * scale)))
    small = cv2.resize(rgb_HWC, size, interpolation=cv2.INTER_AREA)
    hole = cv2.resize((alpha_HW > 0).astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0
    filled = cv2.inpaint(np.asarray(small, np.uint8), hole.astype(np.uint8), 3, cv2.INPAINT_NS)
    large = cv2.resize(filled, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.where(alpha_HW[..., None] > 0, large, rgb_HWC).astype(np.uint8)


def _moving_box(moves: _FaceMoves, alpha_HW: NDArray[np.float32], face: Face) -> tuple[int, int, int, int]:
    """Where any pixel may change: the person's part that moves, and the way it can go."""
    height, width = alpha_HW.shape
    grid = Grid.over((0, 0, width, height), 8)
    weight = moves.head.weight(grid.places_N2).reshape(grid.rows, grid.columns)
    person = cv2.resize((alpha_HW > 0).astype(np.float32), (grid.columns, grid.rows), interpolation=cv2.INTER_AREA)
    rows, columns = np.nonzero((weight * face.eye_distance_px > _RESTS_PX) & (person > 0))
    inside = grid.places_N2.reshape(grid.rows, grid.columns, 2)[rows, columns]
    limits = np.array(HEAD_LIMITS_5) * [face.eye_distance_px, face.eye_distance_px, 1, 1, 1]
    # Each movement at its limit on its own; what all of them together reach beyond is the limits' own fault.
    way = np.abs(moves.head(inside) * limits[:, None]).sum(1).max(1) + 8
    low, high = inside - way[:, None], inside + way[:, None]
    x0, y0 = (max(int(v), 0) // 2 * 2 for v in low.min(0))
    x1, y1 = min(int(high[:, 0].max()) + 1, width), min(int(rows.max() + 1) * 8, height)
    return x0, y0, x1, y1


def _mouth_box(face: Face, width: int, height: int) -> tuple[int, int, int, int]:
    points = face.points_K3[:, :2]
    left, right = points[[UPPER_INNER[0], UPPER_INNER[-1]]]
    span = float(np.linalg.norm(right - left))
    middle = (left[0] + right[0]) / 2
    top, bottom = float(points[UNDER_NOSE, 1]), float(points[CHIN, 1]) + 0.30 * span
    low = (max(int(middle - 0.9 * span), 0), max(int(top), 0))
    return (*low, min(int(middle + 0.9 * span), width), min(int(bottom), height))
