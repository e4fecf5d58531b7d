"""What an avatar carries of a film besides its frames: plain arrays with a schema, checked before memory is taken.

track_TK2          float32, landmarks `points.KEPT` of every template frame, px of the inner square; 0 without a face
steady_S2 ...      float64, the fields of `shape.LipShape`
mouths_NHWC        uint8 RGB, mouths cut out of the film...
corner_N2          int32, ...where in the inner square their upper left pixel lay...
mouth_points_NK2   float32, ...their frames' landmarks...
articulation_NP    float32, ...and what they do
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from recipe.checked_arrays import Schema, check_forms, read_checked, write_checked
from recipe.film.points import KEPT, MOVING, POSED, STEADY
from recipe.film.shape import ARTICULATION, POSE, POSE_FEATURES, LipShape
from recipe.recipe_328 import INNER_PX

FilmArrays = Mapping[str, NDArray[Any]]
FILM_VERSION: Final = 2  # of this schema and of how it is drawn; stamped into every avatar that is drawn so
MOUTH_HEIGHT_PX: Final = 136
MOUTH_WIDTH_PX: Final = 200
_LARGEST_BYTES: Final = 96 << 20
_SCHEMA: Final[Schema] = {
    "track_TK2": ("f4", (None, len(KEPT), 2)),
    "steady_S2": ("f8", (len(STEADY), 2)),
    "pose_mean_Q": ("f8", (2 * len(POSED),)),
    "pose_axes_QC": ("f8", (2 * len(POSED), POSE)),
    "pose_px_C": ("f8", (POSE,)),
    "regression_FM2": ("f8", (POSE_FEATURES + ARTICULATION, len(MOVING), 2)),
    "mouths_NHWC": ("u1", (None, MOUTH_HEIGHT_PX, MOUTH_WIDTH_PX, 3)),
    "corner_N2": ("i4", (None, 2)),
    "mouth_points_NK2": ("f4", (None, len(KEPT), 2)),
    "articulation_NP": ("f4", (None, ARTICULATION)),
}


def save_film(path: Path, arrays: FilmArrays) -> None:
    """Write them compressed, in one step."""
    check_film(arrays, str(path))
    write_checked(path, arrays)


def load_film(path: Path) -> dict[str, NDArray[Any]]:
    """Read arrays whose sizes were looked at first.

    Raises:
        ValueError: the file is no such file; the message says what is wrong with it.
        OSError: it cannot be read.
    """
    arrays = read_checked(path, _SCHEMA, _LARGEST_BYTES)
    check_film(arrays, str(path))
    return arrays


def check_film(arrays: FilmArrays, where: str) -> None:
    """Compare arrays with the schema and with each other.

    Raises:
        ValueError: names the array, its form and the expected one.
    """
    check_forms(arrays, _SCHEMA, where)
    count = len(arrays["mouths_NHWC"])
    if count < 1 or len(arrays["track_TK2"]) < 1:
        raise ValueError(f"{where}: {count} mouths, {len(arrays['track_TK2'])} template frames; expected at least one")
    for name in ("corner_N2", "mouth_points_NK2", "articulation_NP"):
        if len(arrays[name]) != count:
            raise ValueError(f"{where}: {name} tells of {len(arrays[name])} mouths, there are {count}")
    corner_N2 = arrays["corner_N2"]
    if (corner_N2 < 0).any() or (corner_N2 > (INNER_PX - MOUTH_WIDTH_PX, INNER_PX - MOUTH_HEIGHT_PX)).any():
        raise ValueError(f"{where}: a mouth lies outside the inner square of {INNER_PX} px")


def lip_shape(arrays: FilmArrays) -> LipShape:
    """The person's lower face."""
    return LipShape(**{field.name: np.asarray(arrays[field.name], np.float64) for field in fields(LipShape)})
