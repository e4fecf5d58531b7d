"""Follow one face through a recording and give its landmarks in frame pixels, or the reason why there are none.

The face mesh sees a square region around the face, scaled so that the face always has the same size in it: small faces
in large frames and large ones are measured alike. The region stays where it is until the face comes near its edge; the
mesh is started anew then, at a cut, and when the face is lost. Landmarks of an earlier frame are never used again.

Axes: T video frames (25/s), H W C image, K landmarks.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from data_prep.evidence import look
from data_prep.face_mesh import LANDMARKS, MESH_POINTS, FaceDetector, FaceMesh
from data_prep.face_motion import FaceMotion
from data_prep.video import thumbnail

MIN_FACE_PX: Final = 150

NO_FACE: Final = "no face"
LEAVES_FRAME: Final = "face leaves the frame"
TOO_SMALL: Final = f"face narrower than {MIN_FACE_PX} px"

_REGION_PX: Final = 512  # side of the square the mesh sees
_REGION_FACES: Final = 2.4  # side of the region in sizes of the face
_REGION_SPARE: Final = 0.35  # of the face's size: the region moves when less is left around the face
_REGION_SCALE: Final = (0.75, 1.33)  # or when the face has grown or shrunk by this
_CHECK_FRAMES: Final = 5  # the whole frame is searched for other faces this often
_JUMP: Final = 0.4  # of the face's size from one frame to the next: another face, or a lost one
_CUT_LEVELS: Final = 14.0  # mean change of the thumbnail that restarts the mesh; restarting too often is harmless
_OUTSIDE_SHARE: Final = 0.01  # of the landmarks may lie outside the frame


@dataclass(frozen=True)
class Tracked:
    """One entry per frame."""

    landmarks_TK2: NDArray[np.float32]  # frame px, zeros where not valid
    reason_T: list[str]  # "" where valid
    width_T: NDArray[np.float32]  # of the face, px; 0 where none was found
    motion_T23: NDArray[np.float32]  # of the face since the frame before, frame px; NaN where unknown
    second_face_frames: int  # frames that show another face as well
    evidence_T5: NDArray[np.float32]  # what the picture says about the face: `evidence.look`

    @property
    def valid_T(self) -> NDArray[np.bool_]:
        """Frames with landmarks to trust."""
        return np.array([not reason for reason in self.reason_T], bool)


class FaceTracker:
    """State of the search from one frame to the next."""

    def __init__(self) -> None:
        self._detector, self._mesh = FaceDetector(), FaceMesh()
        self._region: _Region | None = None
        self._box: NDArray[np.float32] | None = None  # where the face was last seen
        self._thumbnail: NDArray[np.uint8] | None = None
        self._since_check = _CHECK_FRAMES
        self.others = False  # the last whole-frame search found another face

    def close(self) -> None:
        """Free the graphs."""
        self._detector.close()
        self._mesh.close()

    def track(self, frame_rgb_HWC: NDArray[np.uint8]) -> NDArray[np.float32] | None:
        """Landmarks of the followed face in this frame, (478, 2) in frame px, or None."""
        if self._is_cut(frame_rgb_HWC):
            self._region = None
        points = self._follow(frame_rgb_HWC) if self._region else None
        if points is None:
            points = self._search(frame_rgb_HWC)
        self._since_check += 1
        if self._since_check >= _CHECK_FRAMES:
            self._look_around(self._detector.find(frame_rgb_HWC))
        return points

    def _is_cut(self, frame_rgb_HWC: NDArray[np.uint8]) -> bool:
        before, self._thumbnail = self._thumbnail, thumbnail(frame_rgb_HWC)
        if before is None or before.shape != self._thumbnail.shape:
            return True
        return float(cv2.absdiff(before, self._thumbnail).mean()) > _CUT_LEVELS

    def _follow(self, frame_rgb_HWC: NDArray[np.uint8]) -> NDArray[np.float32] | None:
        assert self._region is not None and self._box is not None
        points = self._region.measure(self._mesh, frame_rgb_HWC)
        if points is None or _distance(face_box(points), self._box) > _JUMP:
            self._region = None
            return None
        self._box = face_box(points)
        if not self._region.suits(self._box):
            return self._start(frame_rgb_HWC, self._box)
        return points

    def _search(self, frame_rgb_HWC: NDArray[np.uint8]) -> NDArray[np.float32] | None:
        boxes = self._detector.find(frame_rgb_HWC)
        self._look_around(boxes)
        near = [box for box in boxes if self._box is not None and _distance(box, self._box) < 2 * _JUMP]
        for box in [*near, *boxes]:
            points = self._start(frame_rgb_HWC, box)
            if points is not None:
                return points
        return None

    def _start(self, frame_rgb_HWC: NDArray[np.uint8], box: NDArray[np.float32]) -> NDArray[np.float32] | None:
        """Start the mesh on a face seen at `box`; the second look starts from the mesh's own first result."""
        self._region = _Region.around(box)
        self._mesh.restart()
        points = None
        for _ in range(2):
            points = self._region.measure(self._mesh, frame_rgb_HWC)
        if points is None or _distance(face_box(points), box) > 2 * _JUMP:
            self._region = None
            return None
        self._box = face_box(points)
        return points

    def _look_around(self, boxes: NDArray[np.float32]) -> None:
        self._since_check = 0
        self.others = len(boxes) > 1


@dataclass(frozen=True)
class _Region:
    """A square of the frame, possibly reaching beyond its edge."""

    centre_xy: tuple[float, float]
    side: float
    face_size: float

    @classmethod
    def around(cls, box: NDArray[np.float32]) -> _Region:
        size = _size(box)
        return cls((float(box[0] + box[2]) / 2, float(box[1] + box[3]) / 2), _REGION_FACES * size, size)

    def suits(self, box: NDArray[np.float32]) -> bool:
        """The face still lies well inside and has about the size for which the region was made."""
        size = _size(box)
        reach = max(abs((box[i] + box[i + 2]) / 2 - self.centre_xy[i]) for i in (0, 1)) + size / 2
        low, high = _REGION_SCALE
        return bool(reach + _REGION_SPARE * size < self.side / 2 and low < size / self.face_size < high)

    def measure(self, mesh: FaceMesh, frame_rgb_HWC: NDArray[np.uint8]) -> NDArray[np.float32] | None:
        """The mesh's landmarks in frame px."""
        x0, y0 = (round(c - self.side / 2) for c in self.centre_xy)
        side = max(round(self.side), 2)
        method = cv2.INTER_AREA if side > _REGION_PX else cv2.INTER_LINEAR
        square = cv2.resize(_cut(frame_rgb_HWC, x0, y0, side), (_REGION_PX, _REGION_PX), interpolation=method)
        points = mesh.process(np.asarray(square, np.uint8))
        if points is None:
            return None
        in_frame = (points + 0.5) * (side / _REGION_PX) - 0.5 + np.array([x0, y0])
        return np.asarray(in_frame, np.float32)


def follow_face(frames_rgb: Iterable[NDArray[np.uint8]]) -> Tracked:
    """Track the largest face of a recording as long as it can be seen.

    Args:
        frames_rgb: (H, W, 3) frames of one size, in order.
    """
    tracker, motion = FaceTracker(), FaceMotion()
    landmarks: list[NDArray[np.float32]] = []
    reasons: list[str] = []
    widths: list[float] = []
    steps: list[NDArray[np.float32]] = []
    seen: list[NDArray[np.float32]] = []
    second = 0
    try:
        for frame in frames_rgb:
            points = tracker.track(frame)
            reason = _why_not(points, frame.shape[1], frame.shape[0])
            landmarks.append(points if points is not None and not reason else np.zeros((LANDMARKS, 2), np.float32))
            reasons.append(reason)
            box = face_box(points) if points is not None else np.zeros(4, np.float32)
            widths.append(float(box[2] - box[0]))
            steps.append(motion.step(frame, points if not reason else None))
            seen.append(look(frame, points if not reason else None))
            second += tracker.others
    finally:
        tracker.close()
    stacked = np.stack(landmarks) if landmarks else np.zeros((0, LANDMARKS, 2), np.float32)
    return Tracked(
        stacked.astype(np.float32), reasons, np.array(widths, np.float32), np.stack(steps), second, np.stack(seen)
    )


def face_box(points_K2: NDArray[np.float32]) -> NDArray[np.float32]:
    """(x0, y0, x1, y1) of the face's skin, px."""
    skin = points_K2[:MESH_POINTS]
    return np.concatenate([skin.min(0), skin.max(0)]).astype(np.float32)


def _why_not(points: NDArray[np.float32] | None, width: int, height: int) -> str:
    if points is None:
        return NO_FACE
    x, y = points[:MESH_POINTS, 0], points[:MESH_POINTS, 1]
    outside = (x < -0.5) | (x > width - 0.5) | (y < -0.5) | (y > height - 0.5)
    if outside.mean() > _OUTSIDE_SHARE:
        return LEAVES_FRAME
    box = face_box(points)
    return TOO_SMALL if box[2] - box[0] < MIN_FACE_PX else ""


def _size(box: NDArray[np.float32]) -> float:
    return float(max(box[2] - box[0], box[3] - box[1], 1.0))


def _distance(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """Between two boxes' centres, in sizes of the larger one."""
    return float(np.hypot(*((a[:2] + a[2:]) / 2 - (b[:2] + b[2:]) / 2))) / max(_size(a), _size(b))


def _cut(frame_HWC: NDArray[np.uint8], x0: int, y0: int, side: int) -> NDArray[np.uint8]:
    """A square of the frame; what lies beyond its edge repeats the edge."""
    inside = frame_HWC[max(y0, 0) : max(y0 + side, 1), max(x0, 0) : max(x0 + side, 1)]
    if inside.shape[:2] == (side, side):
        return inside
    top, left = max(-y0, 0), max(-x0, 0)
    bottom, right = side - top - inside.shape[0], side - left - inside.shape[1]
    return np.asarray(cv2.copyMakeBorder(inside, top, bottom, left, right, cv2.BORDER_REPLICATE), np.uint8)
