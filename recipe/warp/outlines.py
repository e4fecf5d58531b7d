"""Outlines and lines drawn with soft edges, in fractions of a pixel.

OpenCV softens edges of pictures of 8 bits only: drawn into floats they are stairs.

Axes: H W mask, L points of an outline.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
_FRACTION_BITS: Final = 4  # OpenCV's points in sixteenths of a px


def filled(outline_L2: NDArray[np.floating], shape: tuple[int, ...]) -> Float32:
    """1 inside, 0 outside."""
    mask = np.zeros(shape[:2], np.uint8)
    cv2.fillPoly(mask, [_fine(outline_L2)], 255, cv2.LINE_AA, _FRACTION_BITS)
    return mask * np.float32(1 / 255)


def stroked(line_L2: NDArray[np.floating], shape: tuple[int, ...], width_px: int) -> Float32:
    """1 on the line."""
    mask = np.zeros(shape[:2], np.uint8)
    cv2.polylines(mask, [_fine(line_L2)], False, 255, width_px, cv2.LINE_AA, _FRACTION_BITS)
    return mask * np.float32(1 / 255)


def _fine(points_L2: NDArray[np.floating]) -> NDArray[np.int32]:
    return np.round(points_L2 * (1 << _FRACTION_BITS)).astype(np.int32)
