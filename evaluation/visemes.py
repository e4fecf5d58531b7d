"""Viseme confusion: which mouth shape do lips show, and which one should they?

A linear discriminant learns from the filmed frames of a rendered recording how each viseme looks to the landmark
detector; it then reads the lips of any take. The filmed take shows what a perfect avatar would get.

Axes: T frames, K landmarks, F features, V visemes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluation.truth import Truth
from evaluation.value import Value, known, unknown
from recipe.mouth import LIPS, eye_distance

Floats = NDArray[np.float64]

_CHIN, _NOSE_BASE = 152, 2
_DOMINANT = 0.6  # weight from which a frame shows one viseme
_LEAST_FRAMES = 20  # of a viseme, to learn it
_SHRINKAGE = 0.05  # of the covariance towards a multiple of the identity


def dominant_T(truth: Truth, frames_T: NDArray[np.int64]) -> NDArray[np.int64]:
    """Index of the viseme that each frame shows clearly, -1 where none is clear."""
    visemes_TV = truth.visemes_TV[frames_T]
    return np.where(visemes_TV.max(axis=1) >= _DOMINANT, visemes_TV.argmax(axis=1), -1).astype(np.int64)


def lip_features(landmarks_TK2: NDArray[np.floating]) -> Floats:
    """Lips and chin from the base of the nose, in units of the eyes' distance, (T, 82); NaN without a face."""
    points = landmarks_TK2[:, [*LIPS, _CHIN]] - landmarks_TK2[:, _NOSE_BASE, None]
    eyes_T = eye_distance(landmarks_TK2)
    return np.asarray((points / eyes_T[:, None, None]).reshape(len(points), -1), np.float64)


@dataclass(frozen=True)
class LipReader:
    """Reads visemes off landmarks: nearest mean after whitening with the pooled covariance (Fisher, 1936)."""

    names: tuple[str, ...]
    classes: NDArray[np.int64]  # those that were learnt
    whiten_FF: Floats
    means_CF: Floats

    @classmethod
    def learn(
        cls, landmarks_TK2: NDArray[np.floating], shown_T: NDArray[np.int64], names: tuple[str, ...]
    ) -> LipReader:
        """Learn from filmed frames.

        Args:
            landmarks_TK2: upright, any scale.
            shown_T: from `dominant_T`.
        Raises:
            ValueError: fewer than two visemes are shown often enough.
        """
        features_TF = lip_features(landmarks_TK2)
        usable = np.isfinite(features_TF).all(axis=1)
        classes = np.array([v for v in range(len(names)) if (usable & (shown_T == v)).sum() >= _LEAST_FRAMES], np.int64)
        if len(classes) < 2:
            raise ValueError(f"{len(classes)} visemes are shown in {_LEAST_FRAMES} frames or more; two are needed")
        means = np.stack([features_TF[usable & (shown_T == v)].mean(axis=0) for v in classes])
        free = np.concatenate(
            [features_TF[usable & (shown_T == v)] - mean for v, mean in zip(classes, means, strict=True)]
        )
        covariance = free.T @ free / len(free)
        mean_variance = np.trace(covariance) / len(covariance)
        covariance = (1 - _SHRINKAGE) * covariance + _SHRINKAGE * mean_variance * np.eye(len(covariance))
        values, vectors = np.linalg.eigh(covariance)
        whiten = vectors / np.sqrt(values)
        return cls(names, classes, whiten, means @ whiten)

    def read(self, landmarks_TK2: NDArray[np.floating]) -> NDArray[np.int64]:
        """The viseme each frame seems to show, -1 without a face."""
        features_TF = lip_features(landmarks_TK2)
        distance_TC = np.linalg.norm((features_TF @ self.whiten_FF)[:, None] - self.means_CF, axis=2)
        found = np.isfinite(distance_TC).all(axis=1)
        return np.where(found, self.classes[np.argmin(np.nan_to_num(distance_TC), axis=1)], -1)

    def confusion(self, landmarks_TK2: NDArray[np.floating], shown_T: NDArray[np.int64]) -> NDArray[np.int64]:
        """Counts (V, V): row the true viseme, column the one that was read."""
        read_T = self.read(landmarks_TK2)
        counts = np.zeros((len(self.names),) * 2, np.int64)
        usable = (read_T >= 0) & np.isin(shown_T, self.classes)
        np.add.at(counts, (shown_T[usable], read_T[usable]), 1)
        return counts


def accuracy_percent(counts_VV: NDArray[np.int64]) -> Value:
    """Mean over visemes of the share that was read right: silence does not drown the others."""
    rows = counts_VV.sum(axis=1)
    if not (rows >= 3).any():
        return unknown("no viseme is clear in three of these frames")
    right = np.diag(counts_VV)[rows >= 3] / rows[rows >= 3]
    return known(float(100 * right.mean()))
