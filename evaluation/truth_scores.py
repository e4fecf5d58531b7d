"""The takes of a rendered recording's test block against what the recording was rendered from.

Axes: T frames of the block, P key points, K landmarks.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from data_prep.dataset_328 import Dataset328
from evaluation.block import HeldOutFrames
from evaluation.faces import to_strip
from evaluation.metrics import REAL, TAKES
from evaluation.truth import Truth, key_point_distance, opening_over_eyes_T, score_openings
from evaluation.value import Value


def truth_scores(
    dataset: Dataset328, test: HeldOutFrames, landmarks: Mapping[str, NDArray[np.float32]], truth: Truth
) -> dict[str, Value]:
    """Scores against the key points a rendered recording was made with."""
    rendered_px = dataset.manifest["source"]["width"], dataset.manifest["source"]["height"]
    scale = np.array([dataset.manifest["width"], dataset.manifest["height"]]) / rendered_px
    affine_T23 = dataset.affine_T23[test.frames_T]
    points_TP2 = to_strip((truth.points_TP2[test.frames_T] * scale).astype(np.float32), affine_T23).astype(np.float64)
    zoom_T = np.sqrt(np.linalg.det(affine_T23[:, :, :2].astype(np.float64)))
    eyes_px = float(np.mean(truth.eyes_T[test.frames_T] * scale[0] * zoom_T))
    scores = {}
    for name in (name for name in TAKES if name in landmarks):
        opening = opening_over_eyes_T(landmarks[name])
        for metric, value in score_openings(opening, truth, test.frames_T, test.segment_T).items():
            scores[f"{name}.{metric}"] = value
        distance = key_point_distance(landmarks[name], landmarks[REAL], points_TP2, eyes_px)
        scores[f"{name}.truth_lmd_percent"] = distance
    return scores
