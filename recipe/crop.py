"""Cut the 328-px crop out of a frame: the one function for training and serving.

Axes: H W C image. An affine (2, 3) maps frame px to crop px; where it lies is found by data_prep.alignment.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from recipe.recipe_328 import CROP_PX, INNER_OFFSET_PX, INNER_PX

INNER: Final = slice(INNER_OFFSET_PX, INNER_OFFSET_PX + INNER_PX)  # rows and columns of the crop that networks see


def crop_face(frame_rgb_HWC: NDArray[np.uint8], affine_23: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Cut the crop out of a frame: the one function for training and serving.

    Shrinking is preceded by a blur that grows steadily from none at equal size, so that fine texture does not alias
    and a face that comes nearer does not change its sharpness suddenly. Beyond the frame's edge the edge is repeated.

    Args:
        frame_rgb_HWC: uint8, as decoded by `colour.decode_rgb` and upright.
        affine_23: frame px -> crop px.
    Returns:
        (328, 328, 3) uint8.
    """
    a = affine_23.astype(np.float64)
    scale = float(np.hypot(a[0, 0], a[1, 0]))
    if not scale > 0:
        raise ValueError(f"the affine {affine_23.tolist()} has no size: this frame has no valid face")
    sigma = 0.5 * np.sqrt(max(1 / scale**2 - 1, 0.0))
    margin = int(np.ceil(4 * sigma)) + 4
    (x0, y0), (x1, y1) = _covered(a, frame_rgb_HWC.shape, margin)
    piece = np.ascontiguousarray(frame_rgb_HWC[y0:y1, x0:x1])
    if sigma > 0:
        piece = np.asarray(cv2.GaussianBlur(piece, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE), np.uint8)
    a[:, 2] += a[:, :2] @ np.array([x0, y0], np.float64)
    crop = cv2.warpAffine(piece, a, (CROP_PX, CROP_PX), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(crop, np.uint8)


def _covered(
    affine: NDArray[np.float64], frame_shape: tuple[int, ...], margin: int
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Rows and columns of the frame that the crop needs: ((x0, y0), (x1, y1)), never empty."""
    corners = np.array([[0, 0], [CROP_PX, 0], [0, CROP_PX], [CROP_PX, CROP_PX]], np.float64) - 0.5
    in_frame = np.linalg.solve(affine[:, :2], (corners - affine[:, 2]).T).T
    limit = np.array([frame_shape[1], frame_shape[0]])
    low = np.clip(np.floor(in_frame.min(0)) - margin, 0, limit - 1).astype(int)
    high = np.clip(np.ceil(in_frame.max(0)) + margin + 1, low + 1, limit).astype(int)
    return (int(low[0]), int(low[1])), (int(high[0]), int(high[1]))
