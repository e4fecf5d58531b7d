"""mediapipe's two face detectors, short and full range: from a picture to boxes with the eyes.

Both networks answer for a fixed grid of places in their square input: how surely a face is there, how far its box and
six points of it lie from the place. Answers that overlap are averaged by their certainty.

Source: Bazarevsky et al., BlazeFace, 2019 (arXiv:1907.05047); grids and thresholds are those of mediapipe 0.10.21.

Axes: F faces, A places of the grid, H W C image.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from data_prep.face_networks import open_network

_OVERLAP: Final = 0.3  # intersection over union of boxes that mean the same face


@dataclass(frozen=True)
class Grid:
    """Where one of the detectors looks: its input and, per side of a grid, how many answers each place gives."""

    network: str  # in the folder of mediapipe's modules
    input_px: int
    answers: tuple[tuple[int, int], ...]  # (places per side, answers per place)
    confidence: float  # less sure answers are no faces


SHORT_RANGE: Final = Grid("face_detection/face_detection_short_range.tflite", 128, ((16, 2), (8, 6)), 0.5)
FULL_RANGE: Final = Grid("face_detection/face_detection_full_range_sparse.tflite", 192, ((48, 1),), 0.6)


@dataclass(frozen=True)
class Faces:
    """The surest first; px of the picture, pixel edges at whole numbers."""

    boxes_F4: NDArray[np.float32]  # x0, y0, x1, y1 from brow to chin
    eyes_F22: NDArray[np.float32]  # left and right in the picture


class BoxFinder:
    """One of the two detectors."""

    def __init__(self, grid: Grid) -> None:
        self._side, self._confidence = grid.input_px, grid.confidence
        self._network = open_network(grid.network)
        self._places_A2 = _places(grid)

    def find(self, picture_rgb_HWC: NDArray[np.uint8]) -> Faces:
        """All faces of a picture of any shape; what lacks to a square is black to the network."""
        height, width = picture_rgb_HWC.shape[:2]
        longer = max(height, width)
        scale = self._side / longer
        margin = np.array([longer - width, longer - height], np.float32) / 2
        # Whole numbers are taken for pixel middles here and for edges below: so it was when the networks were judged.
        affine = np.array([[scale, 0, scale * margin[0]], [0, scale, scale * margin[1]]])
        square = cv2.warpAffine(picture_rgb_HWC, affine, (self._side, self._side), flags=cv2.INTER_LINEAR)
        answers_A16, scores_A = self._ask(np.asarray(square, np.float32) / np.float32(127.5) - np.float32(1))
        sure = scores_A >= self._confidence
        relative_A16 = answers_A16[sure] / np.float32(self._side)
        merged_F16 = _merge(_decode(relative_A16, self._places_A2[sure]), scores_A[sure])
        points_F82 = (merged_F16.reshape(-1, 8, 2) * longer - margin).astype(np.float32)
        return Faces(points_F82[:, :2].reshape(-1, 4), points_F82[:, 2:4])

    def _ask(self, square_HWC: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        values = self._network.infer([square_HWC[None]]).values()
        outputs: dict[int, Any] = {value.shape[-1]: value[0] for value in values}
        return outputs[16], 1 / (1 + np.exp(-np.clip(outputs[1][:, 0], -80, 80)))


def _places(grid: Grid) -> NDArray[np.float32]:
    """Middles of the grid's places in [0, 1], one per answer: (A, 2)."""
    places = []
    for side, each in grid.answers:
        y, x = np.mgrid[:side, :side].reshape(2, -1)
        places.append(np.repeat((np.stack([x, y], axis=-1) + 0.5) / side, each, axis=0))
    return np.concatenate(places).astype(np.float32)


def _decode(answers_A16: NDArray[np.float32], places_A2: NDArray[np.float32]) -> NDArray[np.float32]:
    """(x0, y0, x1, y1) and six points (x, y), all in [0, 1] of the network's input: (A, 16)."""
    points_A82 = answers_A16.reshape(-1, 8, 2).copy()
    half = points_A82[:, 1] / 2
    middle = points_A82[:, 0] + places_A2
    points_A82[:, 2:] += places_A2[:, None]
    points_A82[:, 0], points_A82[:, 1] = middle - half, middle + half
    return points_A82.reshape(-1, 16)


def _merge(found_A16: NDArray[np.float32], scores_A: NDArray[np.float32]) -> NDArray[np.float32]:
    """One face of all answers that overlap its surest one, averaged by their scores; the surest face first."""
    order = np.argsort(-scores_A, kind="stable")
    left_A16, scores_A = found_A16[order], scores_A[order]
    faces: list[NDArray[np.float32]] = []
    while len(left_A16):
        same = _overlap(left_A16[0, :4], left_A16[:, :4]) > _OVERLAP
        if not same.any():  # a box without size
            break
        faces.append(np.average(left_A16[same], axis=0, weights=scores_A[same]).astype(np.float32))
        left_A16, scores_A = left_A16[~same], scores_A[~same]
    return np.array(faces, np.float32).reshape(-1, 16)


def _overlap(box_4: NDArray[np.float32], boxes_A4: NDArray[np.float32]) -> NDArray[np.float32]:
    shared = np.minimum(box_4[2:], boxes_A4[:, 2:]) - np.maximum(box_4[:2], boxes_A4[:, :2])
    both = np.prod(np.maximum(shared, 0), axis=1)
    one, all_A = np.prod(box_4[2:] - box_4[:2]), np.prod(boxes_A4[:, 2:] - boxes_A4[:, :2], axis=1)
    return np.asarray(both / np.maximum(one + all_A - both, 1e-9), np.float32)
