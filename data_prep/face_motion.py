"""How the rigid part of the face moved from one frame to the next, measured on the picture itself.

Landmarks are right on average but tremble by half a pixel to two; the picture's own texture tells the movement between
two frames to a tenth of a pixel, but its errors add up. Together they are steady and true: see `steady_affines`.

Axes: T video frames (25/s), H W C image, P points.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from data_prep.alignment import RIGID_POINTS, similarity

# An average face's rigid points in the patch on which movement is measured; brows to nostrils fill it.
_PATCH_WH: Final = (224, 160)
_PATCH_RIGID_R2: Final = np.array(
    [[44, 60], [88, 62], [136, 62], [180, 60], [112, 44], [112, 60], [112, 74], [112, 90]], np.float64
)
_GRID_STEP: Final = 12
_MARGIN: Final = 20
_WINDOW: Final = (21, 21)
_INLIER_PX: Final = 1.0
_FEWEST_INLIERS: Final = 40
_BACK_PX: Final = 0.5  # a point followed forth and back must return to its place
UNKNOWN: Final = np.full((2, 3), np.nan, np.float32)


class FaceMotion:
    """Compares each frame with the one before."""

    def __init__(self) -> None:
        x = np.arange(_MARGIN, _PATCH_WH[0] - _MARGIN, _GRID_STEP)
        y = np.arange(_MARGIN, _PATCH_WH[1] - _MARGIN, _GRID_STEP)
        self._points_P2 = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2).astype(np.float32)
        self._before: tuple[NDArray[np.uint8], NDArray[np.float64]] | None = None

    def step(self, frame_rgb_HWC: NDArray[np.uint8], landmarks_K2: NDArray[np.float32] | None) -> NDArray[np.float32]:
        """Similarity (2, 3) that takes the previous frame's px to this one's, on the face; NaN if it cannot be told."""
        before, self._before = self._before, None
        if landmarks_K2 is None:
            return UNKNOWN
        to_patch = similarity(landmarks_K2[RIGID_POINTS, :], _PATCH_RIGID_R2)
        patch = cv2.warpAffine(
            frame_rgb_HWC, to_patch, _PATCH_WH, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        grey = np.asarray(cv2.cvtColor(patch, cv2.COLOR_RGB2GRAY), np.uint8)
        self._before = grey, to_patch
        if before is None:
            return UNKNOWN
        moved = self._between(before[0], grey)
        if moved is None:
            return UNKNOWN
        return np.asarray((_square(to_patch, inverse=True) @ _square(moved) @ _square(before[1]))[:2], np.float32)

    def _between(self, a: NDArray[np.uint8], b: NDArray[np.uint8]) -> NDArray[np.float64] | None:
        start = self._points_P2[:, None]
        there, found, _ = cv2.calcOpticalFlowPyrLK(a, b, start, start.copy(), winSize=_WINDOW, maxLevel=3)
        back, found_back, _ = cv2.calcOpticalFlowPyrLK(b, a, there, start.copy(), winSize=_WINDOW, maxLevel=3)
        returned = np.linalg.norm(back - start, axis=-1)[:, 0] < _BACK_PX
        good = (found[:, 0] > 0) & (found_back[:, 0] > 0) & returned
        if good.sum() < _FEWEST_INLIERS:
            return None
        moved, inliers = cv2.estimateAffinePartial2D(
            self._points_P2[good], there[good, 0], method=cv2.RANSAC, ransacReprojThreshold=_INLIER_PX
        )
        if moved is None or inliers.sum() < _FEWEST_INLIERS:
            return None
        return np.asarray(moved, np.float64)


def _square(affine_23: NDArray[np.float64], inverse: bool = False) -> NDArray[np.float64]:
    square = np.vstack([affine_23, [0.0, 0.0, 1.0]])
    return np.linalg.inv(square) if inverse else square
