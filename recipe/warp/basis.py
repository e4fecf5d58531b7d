"""The presenter's face as a model of all faces: how every mouth unit moves the landmarks, and what lies in the mouth.

basis.npz, decimetres, x to the picture's right, y up, z towards the camera:

    rest_K3         the 478 landmarks with the mouth closed, float32
    offsets_UK3     what a full unit adds to them, float32, in the order of `units.MOUTH_UNITS`
    gap_U           by how much a full unit parts the inner lips in the middle, float32
    lip_line_3      the middle of the closed lips, float32
    NAME_P3 NAME_Q4 points (float32) and quads (uint16) of upper_teeth, upper_gum, lower_teeth, lower_gum and tongue:
                    only what can be seen from the front

Source: the synthetic presenter's geometry and face units (CC0, see NOTICE), read at the places where mediapipe's face
mesh finds its landmarks in a rendered picture of the presenter.

Axes: K landmarks, U mouth units, P points, Q quads.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from recipe.articulation.mouth_units import MOUTH_UNITS
from recipe.warp.points import LOWER_INNER, LOWER_SECOND, OVAL, UPPER_INNER, UPPER_SECOND

Float = NDArray[np.float64]
PARTS: Final = ("upper_teeth", "upper_gum", "lower_teeth", "lower_gum", "tongue")
_FILE: Final = "basis.npz"
# Landmarks of the chin's underside, where the presenter's picture shows the neck rather than the jaw, and the row above
# them, which was read well: what moves a place of the row moves what lies below it, since the jaw is one bone.
UNDER_CHIN: Final = (152, 148, 377, 176, 400, 175, 199, 208, 428, 171, 396, 140, 369)
_CHIN_ROW: Final = (434, 430, 431, 262, 421, 200, 201, 32, 211, 210, 214)
_CORNER_SHARE: Final = 1.15  # how much more slowly than a parabola the opening grows from the corner


@dataclass(frozen=True)
class Basis:
    """See the schema above; the parts are (points, quads) by name."""

    rest_K3: Float
    offsets_UK3: Float
    gap_U: Float
    lip_line_3: Float
    parts: Mapping[str, tuple[Float, NDArray[np.int64]]]


@functools.cache
def load_basis() -> Basis:
    """The basis with its edges mended; read once per process and never changed."""
    with np.load(Path(__file__).with_name(_FILE), allow_pickle=False) as file:
        stored = {name: file[name] for name in file.files}
    rest, offsets = stored["rest_K3"].astype(np.float64), stored["offsets_UK3"].astype(np.float64)
    parts = {name: (stored[f"{name}_P3"].astype(np.float64), stored[f"{name}_Q4"].astype(np.int64)) for name in PARTS}
    gap_U = stored["gap_U"].astype(np.float64)
    mended = _as_wide_as_told(rest, _rounder_corners(rest, _smoother_jaw(_whole_chin(rest, offsets))), gap_U)
    return Basis(rest, mended, gap_U, stored["lip_line_3"].astype(np.float64), parts)


def _whole_chin(rest_K3: Float, offsets_UK3: Float) -> Float:
    """Let the underside of the chin go with its front."""
    whole = offsets_UK3.copy()
    row, under = list(_CHIN_ROW), list(UNDER_CHIN)
    order = np.argsort(rest_K3[row, 0])
    x = rest_K3[row, 0][order]
    for unit, axis in np.ndindex(len(whole), 3):
        whole[unit, under, axis] = np.interp(rest_K3[under, 0], x, offsets_UK3[unit, row, axis][order])
    return whole


def _smoother_jaw(offsets_UK3: Float) -> Float:
    """Along the jaw's outline the presenter's surface is seen edge-on: what was read there is averaged."""
    smoother = offsets_UK3.copy()
    oval = list(OVAL)
    for _ in range(3):
        neighbours = smoother[:, np.roll(oval, 1)] + smoother[:, np.roll(oval, -1)]
        smoother[:, oval] = 0.5 * smoother[:, oval] + 0.25 * neighbours
    return smoother


def _rounder_corners(rest_K3: Float, offsets_UK3: Float) -> Float:
    """Let the jaw part the lips no faster from the corner than a lens does.

    The landmarks next to a corner lie a hair from the fold of the lips: read there, the presenter's mouth opens to a
    box, whose sides nothing fills.
    """
    rounder = offsets_UK3.copy()
    jaw = MOUTH_UNITS.index("jawOpen")
    for upper, lower, places in _rows_of_lips(rest_K3):
        gap = rounder[jaw, list(upper), 1] - rounder[jaw, list(lower), 1]
        spare = np.maximum(gap - gap.max() * places, 0)
        rounder[jaw, list(upper), 1] -= 0.5 * spare
        rounder[jaw, list(lower), 1] += 0.5 * spare
    return rounder


def _as_wide_as_told(rest_K3: Float, offsets_UK3: Float, gap_U: Float) -> Float:
    """Let every unit part the lips' middle by what it is told to.

    Where lips are rounded or rolled, landmarks lie on another fold of them than at rest: read there, a pucker parts
    lips that it presses together.
    """
    as_told = offsets_UK3.copy()
    upper, lower = UPPER_INNER[len(UPPER_INNER) // 2], LOWER_INNER[len(LOWER_INNER) // 2]
    lack_U = gap_U - (offsets_UK3[:, upper, 1] - offsets_UK3[:, lower, 1])
    for uppers, lowers, places in _rows_of_lips(rest_K3):
        as_told[:, list(uppers), 1] += 0.5 * lack_U[:, None] * places
        as_told[:, list(lowers), 1] -= 0.5 * lack_U[:, None] * places
    return as_told


def _rows_of_lips(rest_K3: Float) -> Iterator[tuple[tuple[int, ...], tuple[int, ...], Float]]:
    """Both rows that meet, without the corners: upper lip, lower lip, and how far a lens is open there."""
    x = rest_K3[list(UPPER_INNER), 0]
    lens = np.maximum(1 - (np.abs(x) / np.abs(x).max()) ** 2, 0) ** _CORNER_SHARE
    yield UPPER_INNER[1:-1], LOWER_INNER[1:-1], lens[1:-1]
    yield UPPER_SECOND, LOWER_SECOND, lens[1:-1]
