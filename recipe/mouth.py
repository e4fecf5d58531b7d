"""The points of the lips, how far the mouth is open, and the box around it: once, for all that learns and measures.

Landmarks are the 478 points of mediapipe's face mesh. Axes: T video frames, K landmarks.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

OUTER_EYE_CORNERS: Final = (33, 263)
INNER_LIPS: Final = (13, 14)  # upper, lower
# fmt: off
LIPS: Final = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 185, 40, 39, 37, 0, 267, 269, 270, 409,
               78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 191, 80, 81, 82, 13, 312, 311, 310, 415)
# fmt: on
_BOX_MARGIN: Final = 0.15  # of the lips' width, on every side


def eye_distance(landmarks_TK2: NDArray[np.floating]) -> NDArray[np.float64]:
    """Distance of the outer eye corners, px, (T,)."""
    left, right = (landmarks_TK2[:, i] for i in OUTER_EYE_CORNERS)
    return np.asarray(np.linalg.norm(left - right, axis=-1), np.float64)


def mouth_opening(landmarks_TK2: NDArray[np.floating]) -> NDArray[np.float32]:
    """Distance of the inner lips over that of the outer eye corners, (T,); 0 where there are no landmarks."""
    upper, lower = (landmarks_TK2[:, i] for i in INNER_LIPS)
    eyes = eye_distance(landmarks_TK2)
    lips = np.linalg.norm(upper - lower, axis=-1)
    return np.where(eyes > 0, lips / np.maximum(eyes, 1e-6), 0.0).astype(np.float32)


def mouth_boxes(landmarks_TK2: NDArray[np.floating]) -> NDArray[np.float64]:
    """The box around the lips with a margin, (T, 4) as x0, y0, x1, y1 in the landmarks' px; NaN without a face."""
    points = landmarks_TK2[:, LIPS].astype(np.float64)
    low, high = points.min(axis=1), points.max(axis=1)
    margin = _BOX_MARGIN * (high[:, :1] - low[:, :1])
    return np.concatenate([low - margin, high + margin], axis=1)


def pixel_boxes(boxes_T4: NDArray[np.floating], height: int, width: int) -> NDArray[np.int64]:
    """Half-open boxes of whole pixels inside a picture, none empty; where there is no box, the widest of all.

    Raises:
        ValueError: there is no box at all.
    """
    found = np.isfinite(boxes_T4).all(axis=1)
    if not found.any():
        raise ValueError("no face was found in any of the frames, so there is no mouth to measure")
    whole = np.concatenate([np.floor(boxes_T4[:, :2]), np.ceil(boxes_T4[:, 2:])], axis=1)
    whole[~found] = np.concatenate([np.nanmin(whole[:, :2], axis=0), np.nanmax(whole[:, 2:], axis=0)])
    boxes = np.clip(whole.astype(np.int64), 0, [width - 1, height - 1, width, height])
    boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 1)
    return boxes
