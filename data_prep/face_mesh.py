"""Faces and their landmarks by mediapipe's networks, given one square picture at a time.

What mediapipe's graph does around the networks is done here: the square for the mesh comes from the detector's box
once and from the landmarks of the picture before as long as the mesh itself says that it sees a face.

Source: mediapipe 0.10.21, modules/face_landmark (Apache-2.0): thresholds and geometry.

Axes: H W C image, K landmarks. A turned square (2, 3) maps [0, 1] of the square to px of the picture.
"""

from __future__ import annotations

from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from data_prep.attention_mesh import LEFT_EYE, LIPS, RIGHT_EYE, read_attention_mesh
from data_prep.face_boxes import FULL_RANGE, SHORT_RANGE, BoxFinder
from data_prep.face_networks import open_network

MESH_POINTS: Final = 468  # the skin; 468 .. 477 are the irises
LANDMARKS: Final = 478
_DETECTOR_PX: Final = 384  # longer side of the picture the detector gets; its network sees 192
_LEAST_FLAG: Final = 0.0  # before the sigmoid, so a half: less is no face
_MESH: Final = "face_landmark/face_landmark_with_attention.tflite"
_MESH_PX: Final = 192
_MARGIN: Final = 1.5  # side of the mesh's square in sizes of the face
_LEVEL: Final = (33, 263)  # the square is turned until these points lie level
# The refined parts by output, in the order in which one overwrites another.
_REFINED: Final = {
    "output_lips": LIPS,
    "output_left_eye": LEFT_EYE,
    "output_right_eye": RIGHT_EYE,
    "output_left_iris": tuple(range(468, 473)),
    "output_right_iris": tuple(range(473, 478)),
}


class FaceDetector:
    """Finds all faces of a whole frame, each on its own: nothing is tracked."""

    def __init__(self) -> None:
        self._finder = BoxFinder(FULL_RANGE)

    def find(self, frame_rgb_HWC: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Boxes (x0, y0, x1, y1) in px from brow to chin, the largest first: (faces, 4)."""
        height, width = frame_rgb_HWC.shape[:2]
        scale = min(1.0, _DETECTOR_PX / max(height, width))
        size = (round(width * scale), round(height * scale))
        small = cv2.resize(frame_rgb_HWC, size, interpolation=cv2.INTER_AREA)
        boxes_F4 = self._finder.find(np.asarray(small, np.uint8)).boxes_F4
        area_F = np.prod(boxes_F4[:, 2:] - boxes_F4[:, :2], axis=1)
        to_frame = np.array([width, height, width, height], np.float32) / np.array([*size, *size], np.float32)
        return np.asarray(boxes_F4[np.argsort(-area_F, kind="stable")] * to_frame, np.float32)

    def close(self) -> None:
        """Free its memory; the network itself stays for the next one."""
        del self._finder


class FaceMesh:
    """478 landmarks of the one face in a square picture, following it from picture to picture."""

    def __init__(self) -> None:
        self._finder = BoxFinder(SHORT_RANGE)
        self._network = open_network(_MESH, read_attention_mesh)
        self._square: NDArray[np.float64] | None = None

    def restart(self) -> None:
        """Forget the face: the next picture is searched anew."""
        self._square = None

    def process(self, square_rgb_HWC: NDArray[np.uint8]) -> NDArray[np.float32] | None:
        """Landmarks in px of the square (pixel centres at whole numbers), (478, 2); None without a face."""
        points = self.process_3d(square_rgb_HWC)
        return None if points is None else np.ascontiguousarray(points[:, :2])

    def process_3d(self, square_rgb_HWC: NDArray[np.uint8]) -> NDArray[np.float32] | None:
        """The same with a third column: depth in px, growing away from the camera; 0 for the irises, (478, 3)."""
        if square_rgb_HWC.shape[0] != square_rgb_HWC.shape[1]:
            raise ValueError(f"the face mesh is only exact on squares, got {square_rgb_HWC.shape[:2]}")
        square = self._square if self._square is not None else self._search(square_rgb_HWC)
        points = self._measure(square_rgb_HWC, square) if square is not None else None
        if points is None:
            self._square = None
            return None
        flat = points[:, :2]
        self._square = _turned_square(flat.min(0), flat.max(0), flat[list(_LEVEL)])
        return points.astype(np.float32) - np.array([0.5, 0.5, 0.0], np.float32)

    def close(self) -> None:
        """Free its memory; the networks themselves stay for the next one."""
        del self._finder, self._network

    def _search(self, picture_rgb_HWC: NDArray[np.uint8]) -> NDArray[np.float64] | None:
        faces = self._finder.find(picture_rgb_HWC)
        if not len(faces.boxes_F4):
            return None
        box = faces.boxes_F4[0]
        return _turned_square(box[:2], box[2:], faces.eyes_F22[0])

    def _measure(
        self, picture_rgb_HWC: NDArray[np.uint8], square_23: NDArray[np.float64]
    ) -> NDArray[np.float64] | None:
        to_picture = square_23 * [1 / _MESH_PX, 1 / _MESH_PX, 1]
        seen = cv2.warpPerspective(  # rounds places as mediapipe does, warpAffine otherwise
            picture_rgb_HWC,
            np.vstack([to_picture, [0, 0, 1]]),
            (_MESH_PX, _MESH_PX),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        result = self._network.infer([np.asarray(seen, np.float32)[None] / np.float32(255)])
        outputs: dict[str, Any] = {name: value.ravel() for key, value in result.items() for name in key.names}
        if outputs["conv_faceflag"][0] <= _LEAST_FLAG:
            return None
        points = np.zeros((LANDMARKS, 3))
        points[:MESH_POINTS] = outputs["output_mesh_identity"].reshape(-1, 3)
        for name, indices in _REFINED.items():
            points[list(indices), :2] = outputs[name].reshape(-1, 2)
        depth = points[:, 2:] * np.hypot(*to_picture[:, 0])
        return np.concatenate([points[:, :2] @ to_picture[:, :2].T + to_picture[:, 2], depth], axis=1)


def _turned_square(
    low_xy: NDArray[np.floating], high_xy: NDArray[np.floating], level_22: NDArray[np.floating]
) -> NDArray[np.float64]:
    """The square around a box with a margin, its top parallel to the line through two points."""
    side = _MARGIN * float(np.max(high_xy - low_xy))
    x, y = (level_22[1] - level_22[0]).astype(np.float64)
    cos, sin = np.array([x, y]) / max(float(np.hypot(x, y)), 1e-9)
    linear = side * np.array([[cos, -sin], [sin, cos]])
    return np.column_stack([linear, (low_xy + high_xy) / 2 - linear @ [0.5, 0.5]])
