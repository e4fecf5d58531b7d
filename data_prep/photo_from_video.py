"""The frame of a video that makes the best photo: frontal, eyes open, mouth closed, sharp.

Axes: H W C picture, K landmarks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from data_prep.face_mesh import FaceDetector, FaceMesh
from data_prep.photo_evidence import PhotoEvidence, measure_photo
from data_prep.still_landmarks import StillLandmarks, one_look
from data_prep.video import upright
from recipe.colour import decode_rgb
from recipe.errors import NotAVideoError
from recipe.media import decode_pictures, open_media, picture_stream

_FRAMES: Final = 300  # of the beginning are looked at
_EVERY: Final = 6
_LARGEST_PIXELS: Final = 8192 * 4320
# What counts how much: a turn of so many degrees is as bad as lids so far closed, or lips so far apart.
_TURN_DEG, _LIDS, _LIPS, _BLUR = 8.0, 0.05, 0.03, 0.4
_OPEN_LIDS: Final = 0.27


def best_frame(path: Path, detector: FaceDetector, mesh: FaceMesh) -> NDArray[np.uint8]:
    """Look at every sixth of the first 300 frames.

    Returns:
        (H, W, 3) RGB, upright; the first frame where none shows a face.
    Raises:
        NotAVideoError: it is no video, or has no picture.
    """
    best = best_picture(_looked_at(path), detector, mesh)
    if best is None:
        raise NotAVideoError(
            f"{path.name} holds no picture that can be decoded: export it anew as MP4, or give a photo"
        )
    return best


def best_picture(
    pictures: Iterable[NDArray[np.uint8]], detector: FaceDetector, mesh: FaceMesh
) -> NDArray[np.uint8] | None:
    """The one of some RGB pictures that makes the best photo; the first where none shows a face, None of none."""
    best: NDArray[np.uint8] | None = None
    least = np.inf
    for rgb_HWC in pictures:
        badness = _badness(rgb_HWC, detector, mesh)
        if best is None or badness < least:
            best, least = rgb_HWC, badness
    return best


def _looked_at(path: Path) -> Iterator[NDArray[np.uint8]]:
    with open_media(path) as container:
        stream = picture_stream(container, path)
        if stream.codec_context.width * stream.codec_context.height > _LARGEST_PIXELS:
            raise NotAVideoError(f"{path.name} has frames larger than 8K: make it smaller first")
        for picture in islice(decode_pictures(container, stream), 0, _FRAMES, _EVERY):
            yield upright(decode_rgb(picture), picture.rotation)


def _badness(rgb_HWC: NDArray[np.uint8], detector: FaceDetector, mesh: FaceMesh) -> float:
    boxes = detector.find(rgb_HWC)
    points = one_look(rgb_HWC, boxes[0], mesh) if len(boxes) else None
    if points is None:
        return float("inf")
    return _unsuited(measure_photo(rgb_HWC, StillLandmarks(points, np.zeros(len(points), np.float32))))


def _unsuited(evidence: PhotoEvidence) -> float:
    turn = np.hypot(evidence.yaw_deg, np.hypot(evidence.roll_deg, evidence.pitch_deg / 2)) / _TURN_DEG
    lids = max(0.0, _OPEN_LIDS - evidence.eye_open) / _LIDS
    return float(turn + lids + evidence.mouth_open / _LIPS + evidence.blur / _BLUR)
