"""What is kept of a source picture: plain arrays with a schema, without pickle, checked before memory is taken.

    photo_HWC       uint8 RGB, the source itself
    points_K3       float32, its 478 landmarks, px, depth growing away from the camera
    plate_HWC       uint8 RGB, what lies behind the person, in the moving box
    person_HW       uint8, 255 on the person
    layered         uint8 (), 1 if the person was cut out; 0: the fields fade out and the plate is the photo
    boxes_24        int32, moving box and mouth box: x0, y0, x1, y1 (px)
    cells_2         int32, sides of the fields' cells in the two boxes (px)
    moving_CRS2     float16, fields of the whole face: px per coefficient
    upper_CRS2      float16, fields of the upper lip and what is above, in the mouth box
    lower_CRS2      float16, of the lower lip and what is below
    contour_I2      float32, inner lips, upper then lower, each from corner to corner (px)
    contour_CI2     float32, how they move
    jaw_2 anchor_2  float32, how the chin moves with the jaw; the middle of the closed lips (px)
    facing_22       float32, the face's axes across and down, in the picture
    facts_3         float32, eye distance (px), px per decimetre, 1 if the picture's mouth is open
    cavity_3 mucosa_3   float32, colours of the mouth's depth and of its corners, 0..255
    upper_teeth_HW4 lower_teeth_HW4 tongue_HW4   uint8 RGBA, premultiplied
    own_teeth_HW4   uint8 RGBA, premultiplied, in the mouth box: what the picture shows between its lips
    lid_0_HWC lid_1_HWC   uint8 RGB, the closed eyes, in their boxes

Coefficients C: the mouth units, 1 (closes the picture's mouth), how much closed lips are pressed together, brows, the
head's movements.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from numpy.typing import NDArray

from recipe.articulation.mouth_units import MOUTH_UNITS
from recipe.checked_arrays import Schema, check_forms, read_checked, write_checked
from recipe.warp.points import LANDMARKS, UPPER_INNER
from recipe.warp.units import HEAD_MOVES

WarpArrays = Mapping[str, NDArray[Any]]
CLOSING: Final = len(MOUTH_UNITS)  # places of the further coefficients
TOUCHING: Final = CLOSING + 1
BROWS_AT: Final = CLOSING + 2
HEAD_AT: Final = CLOSING + 3
COEFFICIENTS: Final = HEAD_AT + len(HEAD_MOVES)
WARP_VERSION: Final = 1  # of this schema and of how it is drawn; stamped into every photo avatar
LONGEST_SIDE_PX: Final = 1024
_LARGEST_BYTES: Final = 64 << 20  # of all arrays together; a picture of 1024 px has 15 MB
# Sizes that are fixed; None where the picture decides.
_SCHEMA: Final[Schema] = {
    "photo_HWC": ("u1", (None, None, 3)),
    "points_K3": ("f4", (LANDMARKS, 3)),
    "plate_HWC": ("u1", (None, None, 3)),
    "person_HW": ("u1", (None, None)),
    "layered": ("u1", ()),
    "boxes_24": ("i4", (2, 4)),
    "cells_2": ("i4", (2,)),
    "moving_CRS2": ("f2", (COEFFICIENTS, None, None, 2)),
    "upper_CRS2": ("f2", (COEFFICIENTS, None, None, 2)),
    "lower_CRS2": ("f2", (COEFFICIENTS, None, None, 2)),
    "contour_I2": ("f4", (2 * len(UPPER_INNER), 2)),
    "contour_CI2": ("f4", (COEFFICIENTS, 2 * len(UPPER_INNER), 2)),
    "jaw_2": ("f4", (2,)),
    "anchor_2": ("f4", (2,)),
    "facing_22": ("f4", (2, 2)),
    "facts_3": ("f4", (3,)),
    "cavity_3": ("f4", (3,)),
    "mucosa_3": ("f4", (3,)),
    "upper_teeth_HW4": ("u1", (None, None, 4)),
    "lower_teeth_HW4": ("u1", (None, None, 4)),
    "tongue_HW4": ("u1", (None, None, 4)),
    "own_teeth_HW4": ("u1", (None, None, 4)),
    "lid_0_HWC": ("u1", (None, None, 3)),
    "lid_1_HWC": ("u1", (None, None, 3)),
}


def save_arrays(path: Path, arrays: WarpArrays) -> None:
    """Write them compressed, in one step."""
    check_arrays(arrays, str(path))
    write_checked(path, arrays)


def load_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Read arrays whose sizes were looked at first.

    Raises:
        ValueError: the file is no such file; the message says what is wrong with it.
        OSError: it cannot be read.
    """
    arrays = read_checked(path, _SCHEMA, _LARGEST_BYTES)
    check_arrays(arrays, str(path))
    return arrays


def check_arrays(arrays: WarpArrays, where: str) -> None:
    """Compare arrays with the schema and with each other.

    Raises:
        ValueError: names the array, its form and the expected one.
    """
    check_forms(arrays, _SCHEMA, where)
    height, width = arrays["photo_HWC"].shape[:2]
    if not (2 <= height <= LONGEST_SIDE_PX and 2 <= width <= LONGEST_SIDE_PX) or height % 2 or width % 2:
        raise ValueError(
            f"{where}: the photo has {width}x{height} px, expected even sides of at most {LONGEST_SIDE_PX}"
        )
    moving, mouth = arrays["boxes_24"].tolist()
    for x0, y0, x1, y1 in (moving, mouth):
        if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
            raise ValueError(f"{where}: a box {x0, y0, x1, y1} lies outside the photo of {width}x{height} px")
    if (arrays["cells_2"] < 1).any() or (arrays["facts_3"][:2] <= 0).any():
        raise ValueError(f"{where}: cells of {arrays['cells_2']} px, facts {arrays['facts_3']}; expected more than 0")
    same = {"person_HW": (height, width), "plate_HWC": _size(moving), "own_teeth_HW4": _size(mouth)}
    same["moving_CRS2"] = _cells(moving, int(arrays["cells_2"][0]))
    same |= dict.fromkeys(("upper_CRS2", "lower_CRS2"), _cells(mouth, int(arrays["cells_2"][1])))
    for name, expected in same.items():
        shape = arrays[name].shape[1:3] if name.endswith("CRS2") else arrays[name].shape[:2]
        if shape != expected:
            raise ValueError(f"{where}: {name} covers {shape}, expected {expected} as its box says")


def _size(box: list[int]) -> tuple[int, int]:
    return box[3] - box[1], box[2] - box[0]


def _cells(box: list[int], cell_px: int) -> tuple[int, int]:
    height, width = _size(box)
    return -(-height // cell_px), -(-width // cell_px)
