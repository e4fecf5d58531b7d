"""The picture of an avatar that stands for it: open eyes, a closed mouth, looking into the camera.

Axes: T template frames, K landmarks (478 points of mediapipe's face mesh).
"""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from data_prep.video import iter_rgb
from recipe.warp.points import LOWER_LIDS, UPPER_LIDS

_WIDE_QUANTILE: Final = 0.75  # of the person's own eyes: how far open they are when they are open
_EYES: Final = 3.0  # cost of closed eyes...
_MOUTH: Final = 8.0  # ...of a mouth that is open by one distance of the eyes (speech: 0.1 to 0.2)...
_TURN: Final = 1 / 30  # ...and of one degree away from the camera


def choose_poster(
    landmarks_TK2: NDArray[np.floating], opening_T: NDArray[np.floating], pose_T3: NDArray[np.floating]
) -> int:
    """The number of the frame. The calmest mouth alone is not enough: it was found in the middle of a blink.

    Args:
        landmarks_TK2: px, of frames that all have a face.
        opening_T: of the mouth, distances of the outer eye corners.
        pose_T3: pitch, yaw and roll, degrees. Where the camera stood as high as the eyes is not known: the usual
            pitch counts as straight.
    """
    wide_T = eye_opening(landmarks_TK2)
    shut_T = np.clip(1 - wide_T / max(float(np.quantile(wide_T, _WIDE_QUANTILE)), 1e-6), 0, 1)
    mouth_T = opening_T - opening_T.min()
    straight_3 = np.array([np.median(pose_T3[:, 0]), 0, 0])
    turn_T = np.abs(pose_T3 - straight_3).max(axis=1)
    return int(np.argmin(_EYES * shut_T + _MOUTH * mouth_T + _TURN * turn_T))


def eye_opening(landmarks_TK2: NDArray[np.floating]) -> NDArray[np.float64]:
    """Height over width of the eye that is less open, (T,)."""
    both = []
    for upper, lower in zip(UPPER_LIDS, LOWER_LIDS, strict=True):
        above, below = landmarks_TK2[:, list(upper)], landmarks_TK2[:, list(lower)]
        height_T = np.linalg.norm(above[:, 3:6] - below[:, 3:6], axis=2).mean(axis=1)
        both.append(height_T / np.maximum(np.linalg.norm(above[:, 0] - above[:, -1], axis=1), 1e-6))
    return np.minimum(*both).astype(np.float64)


def write_poster(film: Path, number: int, target: Path) -> None:
    """Save one picture of a film as a JPEG.

    Raises:
        ValueError: the film is shorter.
    """
    picture = next(islice(iter_rgb(film), number, None), None)
    if picture is None:
        raise ValueError(f"{film} has fewer than {number + 1} frames")
    cv2.imwrite(str(target), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 92])
