"""Which part of a picture is shown: square, upright or wide, around the face.

A crop of what was filmed: nothing is scaled or filled, and the face stays whole. Where a picture is too small for a
shape that holds the face, the part is as near to the shape as the face allows: a head that fills a square picture
becomes 16:10 rather than a 16:9 without its chin.

Axes: T frames, K points. px of the picture, x to the right, y down.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recipe.aspect_names import ASPECTS, Aspect
from recipe.recipe_328 import CROP_PX

_SHAPES: Final[dict[Aspect, tuple[int, int]]] = {"square": (1, 1), "portrait": (9, 16), "landscape": (16, 9)}
# The crop reaches from the eyes to the throat. Of its side: the forehead above it, and the throat that may go.
_FOREHEAD: Final = 0.4
_THROAT: Final = 0.12
_AROUND_PHOTO: Final = 0.12  # of the landmarks' extent, on each side: the head of a photo moves
_FACE_AT: Final = 0.45  # of the part's height lies the middle of the face, where there is room


class Box(NamedTuple):
    """Left and top belong to it, right and bottom are beyond it."""

    left: int
    top: int
    right: int
    bottom: int


class Window(NamedTuple):
    """A part of a picture; width and height are even, as H.264 wants them."""

    left: int
    top: int
    width: int
    height: int

    @property
    def rows(self) -> slice:
        return slice(self.top, self.top + self.height)

    @property
    def columns(self) -> slice:
        return slice(self.left, self.left + self.width)


def face_of_track(affine_T23: NDArray[np.float32]) -> Box:
    """Where the face is in any frame of a film, from forehead to chin and ear to ear; may reach beyond the picture.

    Args:
        affine_T23: frame px -> crop px.
    """
    corners_42 = np.array([(x, y) for x in (0, CROP_PX) for y in (-_FOREHEAD * CROP_PX, (1 - _THROAT) * CROP_PX)])
    moved_T42 = corners_42 - affine_T23[:, None, :, 2].astype(np.float64)
    back_T22 = np.linalg.inv(affine_T23[:, :, :2].astype(np.float64))
    return _around((moved_T42 @ back_T22.swapaxes(1, 2)).reshape(-1, 2))


def face_of_points(points_K2: NDArray[np.floating]) -> Box:
    """Where the face of a photo is while its head moves; may reach beyond the picture."""
    low, high = points_K2.min(0), points_K2.max(0)
    margin = _AROUND_PHOTO * (high - low)
    return _around(np.stack([low - margin, high + margin]))


def _around(points_N2: NDArray[np.floating]) -> Box:
    (left, top), (right, bottom) = np.floor(points_N2.min(0)), np.ceil(points_N2.max(0))
    return Box(int(left), int(top), int(right), int(bottom))


def window(width: int, height: int, face: Box, aspect: Aspect) -> Window:
    """The part of a picture that is shown: the largest of that shape that lies in it and holds the face.

    Args:
        width: of the picture, px, even.
        height: likewise.
        face: of which only what lies in the picture counts.
        aspect: "original" is the whole picture.
    """
    if aspect == "original":
        return Window(0, 0, width, height)
    across, down = _SHAPES[aspect]
    (left, right), (top, bottom) = _inside(face.left, face.right, width), _inside(face.top, face.bottom, height)
    wide = _even(max(min(width, height * across / down), right - left), width)
    high = _even(max(min(height, width * down / across), bottom - top), height)
    return Window(
        _placed((left + right) / 2 - wide / 2, wide, left, right, width),
        _placed((top + bottom) / 2 - _FACE_AT * high, high, top, bottom, height),
        wide,
        high,
    )


def windows(width: int, height: int, face: Box) -> dict[Aspect, Window]:
    """Of every aspect."""
    return {aspect: window(width, height, face, aspect) for aspect in ASPECTS}


def _inside(low: int, high: int, size: int) -> tuple[int, int]:
    return min(max(low, 0), size), min(max(high, 0), size)


def _even(length: float, most: int) -> int:
    """The nearest even number that is not smaller."""
    return min(2 * int(np.ceil(length / 2)), most)


def _placed(wished: float, length: int, low: int, high: int, size: int) -> int:
    """Where the part begins: as wished, but it holds the face, and lies in the picture."""
    holding = min(max(round(wished), high - length), low)
    return min(max(holding, 0), size - length)
