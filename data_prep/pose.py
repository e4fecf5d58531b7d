"""Turn of the head against the line of sight in degrees, from landmarks that speaking does not move.

Who looks into the camera is not turned, wherever in the picture the face is: perspective turns a face at the edge of a
wide picture, but shows it as frontally as one in the middle.

Axes: T video frames (25/s), K landmarks.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

# An average adult face in cm: x to the picture's right, y up, z towards the camera, by landmark.
_FACE_CM: Final = {
    33: (-4.446, 2.664, 3.173),
    133: (-1.856, 2.585, 3.758),
    362: (1.856, 2.585, 3.758),
    263: (4.446, 2.664, 3.173),
    168: (0.0, 3.271, 5.236),
    6: (0.0, 2.473, 5.789),
    4: (0.0, -0.463, 7.587),
    1: (0.0, -1.127, 7.476),
    2: (0.0, -2.089, 6.058),
    10: (0.0, 8.262, 4.482),
}
_FOCAL_LONG_SIDES: Final = 1.2  # focal length over the frame's longer side: about 45 degrees of view


def head_pose(
    landmarks_TK2: NDArray[np.float32], valid_T: NDArray[np.bool_], width: int, height: int
) -> NDArray[np.float32]:
    """Pitch, yaw and roll per frame against the line from camera to face, (T, 3) degrees; zeros where not valid.

    Pitch is positive when the person looks up, yaw when the nose points to the picture's right, roll when the head
    leans clockwise in the picture.
    """
    points = list(_FACE_CM)
    face = np.array([_FACE_CM[k] for k in points]) * (1, -1, -1)  # to the camera's axes: y down, z away
    focal = _FOCAL_LONG_SIDES * max(width, height)
    camera = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
    pose = np.zeros((len(valid_T), 3), np.float32)
    for t in np.flatnonzero(valid_T):
        image = landmarks_TK2[t, points].astype(np.float64)
        found, turn, place = cv2.solvePnP(face, image, camera, np.zeros(4), flags=cv2.SOLVEPNP_SQPNP)
        if found:
            pose[t] = _angles(
                _to_the_middle(np.asarray(place[:, 0], np.float64)) @ np.asarray(cv2.Rodrigues(turn)[0], np.float64)
            )
    return pose


def _to_the_middle(place_xyz: NDArray[np.float64]) -> NDArray[np.float64]:
    """The rotation of the camera's axes that brings a place straight ahead: first to the side, then up or down."""
    x, y, z = (float(value) for value in place_xyz)
    aside, up = np.arctan2(x, z), np.arctan2(y, np.hypot(x, z))
    to_side = np.array([[np.cos(aside), 0, -np.sin(aside)], [0, 1, 0], [np.sin(aside), 0, np.cos(aside)]])
    to_height = np.array([[1, 0, 0], [0, np.cos(up), -np.sin(up)], [0, np.sin(up), np.cos(up)]])
    return to_height @ to_side


def _angles(rotation_33: NDArray[np.float64]) -> tuple[float, float, float]:
    """Of the direction the face looks at (its -z axis) and of its lean."""
    ahead = -rotation_33[:, 2]
    pitch = np.arcsin(np.clip(-ahead[1], -1, 1))
    yaw = np.arctan2(ahead[0], -ahead[2])
    roll = np.arctan2(rotation_33[1, 0], rotation_33[0, 0])
    degrees = np.degrees([pitch, yaw, roll])
    return float(degrees[0]), float(degrees[1]), float(degrees[2])
