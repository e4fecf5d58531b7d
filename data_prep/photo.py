"""From a photo, or a short video, to everything that a photo avatar draws with: checked, cropped, prepared.

Axes: H W C picture (RGB), K landmarks.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from data_prep.errors import PhotoFaceError
from data_prep.face_mesh import FaceDetector, FaceMesh
from data_prep.person import face_in_person, find_person
from data_prep.photo_checks import LEAST_FACE_PX, check_photo
from data_prep.photo_evidence import PhotoEvidence, measure_photo
from data_prep.photo_from_video import best_frame
from data_prep.photo_restoration import Restore, restored_photo
from data_prep.picture_file import check_file, is_picture, read_picture
from data_prep.still_landmarks import StillLandmarks, still_landmarks
from recipe.errors import MediaError
from recipe.files import sha256
from recipe.warp.arrays import LONGEST_SIDE_PX, WarpArrays
from recipe.warp.source import prepare_source

log = logging.getLogger(__name__)
DEFAULT_SIZE_PX: Final = 720
LEAST_SIZE_PX: Final = 256
# The crop, in heights of the face from brow to chin: shoulders and some air over the hair.
_SIDE, _ABOVE = 2.55, 0.62
_SECOND_FACE: Final = 0.4  # a face narrower than this share of the largest is taken for a picture on the wall


@dataclass
class Stopwatch:
    """Seconds that each part took: on the clock, and of the processor."""

    parts: dict[str, tuple[float, float]] = field(default_factory=dict)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Time what runs inside."""
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        self.parts[name] = (time.perf_counter() - wall, time.process_time() - cpu)


@dataclass(frozen=True)
class PreparedPhoto:
    """A photo that passed all checks."""

    rgb_HWC: NDArray[np.uint8]
    found: StillLandmarks  # in rgb_HWC
    arrays: WarpArrays
    evidence: PhotoEvidence
    warnings: list[str]
    source_sha256: str
    restored: str = ""  # what was done to make it better; empty: its pixels are the photo's


def prepare_photo(path: Path, size_px: int, watch: Stopwatch, restore: Restore = "auto") -> PreparedPhoto:
    """Read, check, crop and prepare a photo.

    Args:
        path: a picture, or a short video, whose best frame is taken.
        size_px: the longer side of the avatar's frames, at most.
        watch: gets the times of the parts.
        restore: what may be done to a bad photo.
    Raises:
        ValueError: the size cannot be.
        PhotoError: the photo cannot be used; the message says why and what to do.
    """
    if not LEAST_SIZE_PX <= size_px <= LONGEST_SIDE_PX or size_px % 2:
        raise ValueError(f"size {size_px}: give an even number from {LEAST_SIZE_PX} to {LONGEST_SIDE_PX}")
    check_file(path)
    with watch.part("networks"):
        detector = FaceDetector()
    with ThreadPoolExecutor(1) as beside:  # the mesh is compiled while the picture is read
        opening = beside.submit(FaceMesh)
        with watch.part("reading"):
            whole = read_picture(path) if is_picture(path) else _frame_of(path, detector, opening.result())
        with watch.part("networks, the rest"):
            mesh = opening.result()
    with watch.part("face"):
        cropped, found = _cropped(whole, _landmarks(whole, detector, mesh, path.name))
        evidence = measure_photo(cropped, found)
        warnings = check_photo(evidence, path.name)
        rgb, found = _scaled(cropped, found, size_px)
    with watch.part("restoring"):
        rgb, found, done = restored_photo(rgb, found, size_px, restore)
    with watch.part("person"):
        person = face_in_person(find_person(rgb), found.points_K3)
    if person is None:
        warnings.append("the person cannot be told from the background: what is behind the head bends a little with it")
    with watch.part("fields"):
        arrays = prepare_source(rgb, found.points_K3, person)
    return PreparedPhoto(rgb, found, arrays, evidence, warnings, sha256(path), done)


def _frame_of(path: Path, detector: FaceDetector, mesh: FaceMesh) -> NDArray[np.uint8]:
    try:
        return best_frame(path, detector, mesh)
    except MediaError:
        return read_picture(path)  # it is no video either; the reader of pictures says best what is wrong with it


def _landmarks(rgb_HWC: NDArray[np.uint8], detector: FaceDetector, mesh: FaceMesh, name: str) -> StillLandmarks:
    """Of the one face.

    Raises:
        PhotoFaceError: there is none, or there are several.
    """
    boxes = detector.find(rgb_HWC)
    if not len(boxes):
        raise PhotoFaceError(
            f"no face was found in {name}: give an upright photo of one person who looks into the camera, in good "
            "light, with nothing before the face"
        )
    widths = boxes[:, 2] - boxes[:, 0]
    count = np.count_nonzero(widths >= _SECOND_FACE * widths.max())
    if count > 1:
        raise PhotoFaceError(f"{name} shows {count} faces, expected one: crop the photo to the person who is to speak")
    found = still_landmarks(rgb_HWC, boxes[0], mesh)
    if found is None:
        raise PhotoFaceError(
            f"the face in {name} cannot be measured (it is about {widths[0]:.0f} px wide, {LEAST_FACE_PX} are needed): "
            "give a sharper photo of the whole face, taken from the front"
        )
    return found


def _cropped(rgb_HWC: NDArray[np.uint8], found: StillLandmarks) -> tuple[NDArray[np.uint8], StillLandmarks]:
    """Head and shoulders, square as far as the photo reaches."""
    height, width = rgb_HWC.shape[:2]
    x0, y0, x1, y1 = found.skin_box
    face = float(y1 - y0)
    left, top = (x0 + x1) / 2 - _SIDE / 2 * face, y0 - _ABOVE * face
    low = np.maximum(np.round([left, top]), 0).astype(int)
    high = np.minimum(np.round([left + _SIDE * face, top + _SIDE * face]), [width, height]).astype(int)
    points = found.points_K3 - np.array([*low, 0], np.float32)
    return np.ascontiguousarray(rgb_HWC[low[1] : high[1], low[0] : high[0]]), StillLandmarks(points, found.spread_K)


def _scaled(
    rgb_HWC: NDArray[np.uint8], found: StillLandmarks, size_px: int
) -> tuple[NDArray[np.uint8], StillLandmarks]:
    """At most as large as wanted, with even sides; an odd row or column is cut."""
    height, width = rgb_HWC.shape[:2]
    scale = min(1.0, size_px / max(height, width))
    if scale == 1.0:
        return np.ascontiguousarray(rgb_HWC[: height // 2 * 2, : width // 2 * 2]), found
    size = round(width * scale / 2) * 2, round(height * scale / 2) * 2
    small = cv2.resize(rgb_HWC, size, interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.uint8), found.scaled(size[0] / width, size[1] / height)
