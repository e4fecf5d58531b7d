"""mediapipe's face detector and face mesh, made quiet and given one square picture at a time.

mediapipe writes a dozen lines to stderr from C++ whenever a graph starts. They are held back there and only there, and
shown after all if the start fails.

Axes: H W C image, K landmarks.
"""

from __future__ import annotations

import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from types import ModuleType
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

MESH_POINTS: Final = 468  # the skin; 468 .. 477 are the irises
LANDMARKS: Final = 478
_DETECTOR_PX: Final = 384  # longer side of the picture the detector gets; its network sees 192
_DETECTOR_CONFIDENCE: Final = 0.5
_MESH_CONFIDENCE: Final = 0.5


@contextmanager
def quiet_stderr() -> Iterator[None]:
    """Hold back what C++ writes to stderr, and write it after all if the block fails."""
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # of its protobuf code
                yield
        except BaseException:
            os.dup2(kept, 2)
            held.seek(0)
            os.write(2, held.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)


class FaceDetector:
    """Finds all faces of a whole frame, each on its own: nothing is tracked."""

    def __init__(self) -> None:
        with quiet_stderr():
            solutions = _solutions()
            self._graph = solutions.face_detection.FaceDetection(
                model_selection=1, min_detection_confidence=_DETECTOR_CONFIDENCE
            )
            self._graph.process(np.zeros((64, 64, 3), np.uint8))

    def find(self, frame_rgb_HWC: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Boxes (x0, y0, x1, y1) in px from brow to chin, the largest first: (faces, 4)."""
        height, width = frame_rgb_HWC.shape[:2]
        scale = min(1.0, _DETECTOR_PX / max(height, width))
        small = cv2.resize(frame_rgb_HWC, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_AREA)
        boxes = []
        for detection in self._graph.process(small).detections or ():
            box = detection.location_data.relative_bounding_box
            boxes.append((box.xmin, box.ymin, box.xmin + box.width, box.ymin + box.height))
        boxes.sort(key=lambda b: (b[0] - b[2]) * (b[3] - b[1]))
        return np.array(boxes, np.float32).reshape(-1, 4) * np.array([width, height, width, height], np.float32)

    def close(self) -> None:
        """Free the graph."""
        self._graph.close()


class FaceMesh:
    """478 landmarks of the one face in a square picture, following it from picture to picture."""

    def __init__(self) -> None:
        with quiet_stderr():
            self._graph = _solutions().face_mesh.FaceMesh(
                static_image_mode=False,
                max_num_faces=1,
                refine_landmarks=True,
                min_detection_confidence=_MESH_CONFIDENCE,
                min_tracking_confidence=_MESH_CONFIDENCE,
            )
            self._graph.process(np.zeros((64, 64, 3), np.uint8))
        self._fresh = True

    def restart(self) -> None:
        """Forget the face: the next picture is searched anew."""
        with quiet_stderr():
            self._graph.reset()
            self._graph.process(np.zeros((64, 64, 3), np.uint8))
        self._fresh = True

    def process(self, square_rgb_HWC: NDArray[np.uint8]) -> NDArray[np.float32] | None:
        """Landmarks in px of the square (pixel centres at whole numbers), (478, 2); None without a face."""
        if square_rgb_HWC.shape[0] != square_rgb_HWC.shape[1]:
            raise ValueError(f"the face mesh is only exact on squares, got {square_rgb_HWC.shape[:2]}")
        with quiet_stderr() if self._fresh else nullcontext():
            faces = self._graph.process(square_rgb_HWC).multi_face_landmarks
        self._fresh = False
        if not faces:
            return None
        points = np.array([(point.x, point.y) for point in faces[0].landmark], np.float32)
        return points * np.float32(square_rgb_HWC.shape[0]) - np.float32(0.5)

    def close(self) -> None:
        """Free the graph."""
        self._graph.close()


def _solutions() -> ModuleType | Any:
    import mediapipe  # slow (3 s) and loud: only preparation pays for it

    return mediapipe.solutions
