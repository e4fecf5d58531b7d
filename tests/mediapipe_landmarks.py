"""What mediapipe itself finds in the presenter's first second: `python -m tests.mediapipe_landmarks` writes the file.

The product runs mediapipe's networks without mediapipe. This is the one place that imports it: to make anew what
`test_face_mesh.py` compares with, on Python 3.12 or older, should the networks ever change.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from data_prep.video import iter_rgb

GOLDEN: Final = Path(__file__).parent / "data" / "presenter_mediapipe.npz"
PRESENTER: Final = Path(__file__).parent / "data" / "presenter.mp4"
EVERY: Final = 3
COUNT: Final = 10


def main() -> None:
    """Landmarks (10, 478, 2) in px, pixel edges at whole numbers, and the full-range detector's boxes (10, 4)."""
    import mediapipe

    mesh = mediapipe.solutions.face_mesh.FaceMesh(refine_landmarks=True)
    detector = mediapipe.solutions.face_detection.FaceDetection(model_selection=1)
    landmarks, boxes = [], []
    for frame, _ in zip(list(iter_rgb(PRESENTER))[::EVERY], range(COUNT), strict=False):
        height, width = frame.shape[:2]
        points = mesh.process(frame).multi_face_landmarks[0].landmark
        landmarks.append([(point.x * width, point.y * height) for point in points])
        box = detector.process(frame).detections[0].location_data.relative_bounding_box
        x0, y0 = box.xmin * width, box.ymin * height
        boxes.append((x0, y0, x0 + box.width * width, y0 + box.height * height))
    np.savez_compressed(GOLDEN, landmarks_TK2=np.array(landmarks, np.float32), boxes_T4=np.array(boxes, np.float32))


if __name__ == "__main__":
    main()
