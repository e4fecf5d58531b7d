"""What a film tells of a person's lower face, and which of its mouths are kept.

Axes: T frames, K kept landmarks, M moving ones, C pose components, P articulation, F features, N mouths.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from data_prep.dataset_328 import Dataset328
from recipe.crop import INNER
from recipe.film.arrays import MOUTH_HEIGHT_PX, MOUTH_WIDTH_PX
from recipe.film.points import LOWER_GAP, MOVING, POSED, STEADY, UPPER_GAP, places_of
from recipe.film.shape import (
    ARTICULATION,
    POSE,
    Float,
    LipShape,
    inner_points,
    moved,
    pose_features,
    pose_within,
    similarity,
)
from recipe.mouth import LIPS
from recipe.recipe_328 import FPS, INNER_OFFSET_PX, INNER_PX

MOUTHS: Final = 96  # kept; more than that many shapes look alike
_STEADIED: Final = (0.25, 0.5, 0.25)  # landmarks over three frames: half the tracking noise, no lag
_RIDGE_POSE, _RIDGE = 1e-4, 1e-5
_QUICK: Final = 3  # frames
_TURNED_PX: Final = 8.0  # as in recipe.film.draw
_OPENEST, _MOST_CLOSED = 8, 8  # extremes that a mean of like mouths would leave out
_SEED: Final = 328
_LIPS = len(LIPS)
_ABOVE, _BELOW = places_of(UPPER_GAP, MOVING), places_of(LOWER_GAP, MOVING)
_MOVING, _STEADY, _POSED = places_of(MOVING), places_of(STEADY), places_of(POSED)


def film_points(dataset: Dataset328) -> Float:
    """The kept landmarks of every frame, steadied, px of the inner square, (T, K, 2); zeros without a face."""
    points = inner_points(dataset.landmarks_TK2, dataset.affine_T23, INNER_OFFSET_PX)
    points[~dataset.valid_T] = 0.0
    steadied = points.copy()
    before, here, after = _STEADIED
    for start, stop in dataset.clips:
        valid = dataset.valid_T[start:stop]
        inside = np.flatnonzero(valid[:-2] & valid[1:-1] & valid[2:]) + start + 1
        steadied[inside] = before * points[inside - 1] + here * points[inside] + after * points[inside + 1]
    return steadied


@dataclass(frozen=True, eq=False)
class FilmedFace:
    """A film's lower face.

    Attributes:
        shape: what was learnt.
        points_TK2: landmarks of every frame, steadied.
        articulation_TP: of every frame: principal components of the lips once the pose is taken out, the first with
            standard deviation 1 on the frames that were learnt from.
    """

    shape: LipShape
    points_TK2: Float
    articulation_TP: Float


def fit_face(points_TK2: Float, frames: NDArray[np.int64], clips: Sequence[tuple[int, int]]) -> FilmedFace:
    """Fit the lower face.

    Args:
        points_TK2: of all frames.
        frames: those to learn from, in rising order.
        clips: ranges of frames without a jump cut.
    """
    steady_S2 = points_TK2[frames][:, _STEADY].mean(0)
    has_face = points_TK2.any(axis=(1, 2))
    canonical_TK2 = np.zeros_like(points_TK2)
    canonical_TK2[has_face] = [moved(p, similarity(p[_STEADY], steady_S2)) for p in points_TK2[has_face]]
    posed_TQ = canonical_TK2[:, _POSED].reshape(len(points_TK2), -1)
    pose_mean_Q = posed_TQ[frames].mean(0)
    _, spread, axes = np.linalg.svd(posed_TQ[frames] - pose_mean_Q, full_matrices=False)
    spread_C = spread[:POSE] / np.sqrt(len(frames))
    pose_axes_QC = axes[:POSE].T / np.maximum(spread_C, 1e-6)
    features = pose_features(pose_within((posed_TQ - pose_mean_Q) @ pose_axes_QC))
    lower_TV = canonical_TK2[:, _MOVING].reshape(len(points_TK2), -1)
    posed_FV = _ridge(features[frames], lower_TV[frames], _RIDGE_POSE)
    posed_FV = _without_opening(posed_FV, lower_TV, frames, clips)
    left = lower_TV - features @ posed_FV
    lips_TV = left[:, : 2 * _LIPS]
    middle = lips_TV[frames].mean(0)
    axes = np.linalg.svd(lips_TV[frames] - middle, full_matrices=False)[2][:ARTICULATION].T
    articulation_TP = (lips_TV - middle) @ axes
    articulation_TP /= articulation_TP[frames, 0].std()
    known = np.concatenate([features, articulation_TP], axis=1)
    regression_FV = _ridge(known[frames], lower_TV[frames], _RIDGE)
    count = features.shape[1]
    regression_FV[:count] = _without_opening(regression_FV[:count], lower_TV, frames, clips)
    regression = regression_FV.reshape(known.shape[1], len(MOVING), 2)
    pose_px_C = spread_C / np.sqrt(len(POSED))
    shape = LipShape(steady_S2, pose_mean_Q, pose_axes_QC, pose_px_C, regression)
    return FilmedFace(shape, points_TK2, articulation_TP)


def _without_opening(
    coefficients_FV: Float, lower_TV: Float, frames: NDArray[np.int64], clips: Sequence[tuple[int, int]]
) -> Float:
    """Coefficients of the pose that leave the lips as far apart as they are.

    Who speaks also nods, and a landmarker moves the nose a little when the mouth opens: a regression on the pose alone
    takes the opening for the pose's, and a mouth told to rest then opens with up to a third of the filmed movement. How
    the lower face goes along with the opening is taken from quick movements, which heads do not make.
    """
    gaps_VG = np.zeros((lower_TV.shape[1], 1))
    for above, below in zip(_ABOVE, _BELOW, strict=True):
        gaps_VG[[2 * below + 1, 2 * above + 1], 0] += np.array([1, -1]) / len(_ABOVE)
    moves_TV = _quick_moves(lower_TV[frames], frames, clips)
    gap_T1 = moves_TV @ gaps_VG
    along_1V = (gap_T1.T @ moves_TV) / max(float((gap_T1**2).sum()), 1e-9)
    kept = coefficients_FV.copy()
    kept[1:] -= (coefficients_FV[1:] @ gaps_VG) @ along_1V  # the first is the mean face
    return kept


def _quick_moves(values_TV: Float, frames: NDArray[np.int64], clips: Sequence[tuple[int, int]]) -> Float:
    """What frames have moved by against those an eighth of a second before and after; against their mean where too few
    follow one another."""
    clip_T = np.searchsorted([start for start, _ in clips], frames, "right")
    first, last = np.arange(len(frames) - 2 * _QUICK), np.arange(2 * _QUICK, len(frames))
    unbroken = (frames[last] - frames[first] == 2 * _QUICK) & (clip_T[last] == clip_T[first])
    middle = first[unbroken] + _QUICK
    if len(middle) < 2 * FPS:
        return np.asarray(values_TV - values_TV.mean(0))
    return np.asarray(values_TV[middle] - (values_TV[middle - _QUICK] + values_TV[middle + _QUICK]) / 2)


def choose_mouths(face: FilmedFace, blur_T: NDArray[np.floating], frames: NDArray[np.int64]) -> NDArray[np.int64]:
    """Frames whose mouths are kept: one for every kind of mouth and pose there is, and the extremes.

    Args:
        blur_T: large is sharp; of frames that are alike the sharper one is taken.
        frames: to choose from.
    """
    shape, articulation_TP = face.shape, face.articulation_TP
    pose_NC = np.stack([shape.pose(face.points_TK2[t]) for t in frames]) * shape.pose_px_C / _TURNED_PX
    kinds = np.concatenate([articulation_TP[frames], pose_NC], axis=1).astype(np.float32)
    count = min(MOUTHS - _OPENEST - _MOST_CLOSED, len(frames))
    cv2.setRNGSeed(_SEED)
    criteria = (cv2.TERM_CRITERIA_COUNT + cv2.TERM_CRITERIA_EPS, 60, 1e-3)
    _, label, centre = cv2.kmeans(kinds, count, np.empty(0, np.int32), criteria, 2, cv2.KMEANS_PP_CENTERS)
    sharp = np.minimum(blur_T[frames] / max(float(np.mean(blur_T[frames])), 1e-6), 1.5)
    chosen = set()
    for k in range(count):
        members = np.flatnonzero(label[:, 0] == k)
        if len(members):
            off = np.square(kinds[members] - centre[k]).sum(1) - 0.02 * sharp[members]
            chosen.add(int(frames[members[np.argmin(off)]]))
    order = frames[np.argsort(shape.gap_px(articulation_TP[frames]), kind="stable")]
    chosen |= {int(t) for t in _apart(order, _MOST_CLOSED)} | {int(t) for t in _apart(order[::-1], _OPENEST)}
    return np.array(sorted(chosen), np.int64)


def mouth_arrays(dataset: Dataset328, face: FilmedFace, chosen: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
    """The bank, as `recipe.film.arrays` has it."""
    size = np.array([MOUTH_WIDTH_PX, MOUTH_HEIGHT_PX])
    lips = face.points_TK2[chosen][:, _MOVING[:_LIPS]]
    corner_N2 = np.clip(np.round((lips.min(1) + lips.max(1)) / 2 - size / 2), 0, INNER_PX - size).astype(np.int32)
    mouths = [
        dataset.crops[t][INNER, INNER][y : y + MOUTH_HEIGHT_PX, x : x + MOUTH_WIDTH_PX]
        for t, (x, y) in zip(chosen, corner_N2, strict=True)
    ]
    return {
        "mouths_NHWC": np.stack(mouths),
        "corner_N2": corner_N2,
        "mouth_points_NK2": face.points_TK2[chosen].astype(np.float32),
        "articulation_NP": face.articulation_TP[chosen].astype(np.float32),
    }


def shape_arrays(shape: LipShape) -> dict[str, NDArray[Any]]:
    """The shape, as `recipe.film.arrays` has it."""
    return {field.name: np.asarray(getattr(shape, field.name), np.float64) for field in fields(shape)}


def _apart(order: NDArray[np.int64], count: int) -> list[int]:
    """The first ones of an order that are not neighbours in the film."""
    taken: list[int] = []
    for t in order:
        if all(abs(int(t) - other) > 3 for other in taken):
            taken.append(int(t))
        if len(taken) == count:
            break
    return taken


def _ridge(known: Float, wanted: Float, share: float) -> Float:
    """Least squares, with a weight on the coefficients that is this share of the mean square."""
    square = known.T @ known
    return np.asarray(np.linalg.solve(square + share * len(known) * np.eye(len(square)), known.T @ wanted))
