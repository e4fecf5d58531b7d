"""A person's lower face as a function of how the head is held and what the mouth does.

    landmarks of the upper face -> size, turn, place (similarity) and pose components
    pose components, articulation -> where lips, jaw and cheeks lie

Nothing of the filmed mouth goes in, so a frame of somebody who speaks is as good a template as one of somebody silent.

Axes: K the landmarks of `points.KEPT`, M those of `points.MOVING`, Q of `points.POSED` (x and y), C pose components, F
features of a frame, P components of the articulation. All coordinates are px of the recipe's inner square; canonical
ones are those of the person's mean frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from recipe.film.points import KEPT, LOWER_GAP, MOVING, POSED, STEADY, UPPER_GAP, places_of

Float = NDArray[np.float64]
ARTICULATION: Final = 8  # components of the lips' shape; what lies beyond is tracking noise
POSE: Final = 6  # components of the upper face's shape
_FURTHEST, _USUAL = 4.0, 2.5  # standard deviations of a pose component
POSE_FEATURES: Final = 1 + POSE + 3  # a constant, the components, three products of the first two
_STEADY, _POSED = places_of(STEADY), places_of(POSED)
_ABOVE, _BELOW = places_of(UPPER_GAP, MOVING), places_of(LOWER_GAP, MOVING)


@dataclass(frozen=True, eq=False)
class LipShape:
    """What was learnt from a film; see `training.film.fit`."""

    steady_S2: Float  # canonical
    pose_mean_Q: Float
    pose_axes_QC: Float  # a person's own spread is 1 on every component
    pose_px_C: Float  # that spread, px
    regression_FM2: Float  # F = POSE_FEATURES + ARTICULATION

    def to_canonical(self, points_K2: Float) -> Float:
        """(2, 3) from a frame's px to canonical px."""
        return similarity(points_K2[_STEADY], self.steady_S2)

    def pose(self, points_K2: Float) -> Float:
        """Pose components of a frame, (C,), see `pose_within`."""
        canonical = moved(points_K2[_POSED], self.to_canonical(points_K2)).ravel()
        return pose_within((canonical - self.pose_mean_Q) @ self.pose_axes_QC)

    def lower_face(self, points_K2: Float, articulation_P: Float) -> Float:
        """Where the moving landmarks lie in a frame whose mouth does this, (M, 2)."""
        return self.lower_face_at(self.pose(points_K2), self.to_canonical(points_K2), articulation_P)

    def lower_face_at(self, pose_C: Float, to_canonical_23: Float, articulation_P: Float) -> Float:
        """The same, of a frame whose pose and place are known."""
        features = np.concatenate([pose_features(pose_C), articulation_P])
        return moved(np.tensordot(features, self.regression_FM2, 1), inverse(to_canonical_23))

    @property
    def gap_readout(self) -> tuple[Float, Float]:
        """How far the inner lips are apart at three places with the head held as usual, px: at articulation 0, (3,),
        and what the articulation adds, (P, 3)."""
        gap_F3 = (self.regression_FM2[:, _BELOW] - self.regression_FM2[:, _ABOVE])[..., 1]
        return gap_F3[0], gap_F3[POSE_FEATURES:]

    def gap_px(self, articulation_BP: NDArray[np.floating]) -> Float:
        """How far the middle of the inner lips is apart with the head held as usual, (B,); below 0 they press."""
        at_zero_3, per_P3 = self.gap_readout
        return np.asarray(at_zero_3.mean() + np.asarray(articulation_BP, np.float64) @ per_P3.mean(1))


def pose_within(pose_C: Float) -> Float:
    """Pose components, no further out than a film can tell of."""
    return np.asarray(np.clip(pose_C, -_FURTHEST, _FURTHEST))


def pose_features(pose_C: Float) -> Float:
    """What the lower face is a linear function of, besides the articulation, (..., POSE_FEATURES).

    The products stop earlier than the components: where nothing was learnt they would throw the lips about.
    """
    one = np.ones_like(pose_C[..., :1])
    near = np.clip(pose_C, -_USUAL, _USUAL)
    products = [near[..., :2] ** 2, near[..., :1] * near[..., 1:2]]
    return np.concatenate([one, pose_C, *products], axis=-1)


def similarity(source_N2: Float, target_N2: Float) -> Float:
    """Size, turn and shift, (2, 3), that bring points onto others with the least squares."""
    middle, onto = source_N2.mean(0), target_N2.mean(0)
    a, b = source_N2 - middle, target_N2 - onto
    size = (a**2).sum()
    along = (a * b).sum() / size
    across = (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum() / size
    linear = np.array([[along, -across], [across, along]])
    return np.column_stack([linear, onto - linear @ middle])


def moved(points_N2: Float, affine_23: Float) -> Float:
    """Points under an affine."""
    return np.asarray(points_N2 @ affine_23[:, :2].T + affine_23[:, 2])


def inverse(affine_23: Float) -> Float:
    """The affine that undoes another."""
    back = np.linalg.inv(affine_23[:, :2])
    return np.column_stack([back, -back @ affine_23[:, 2]])


def joined(after_23: Float, first_23: Float) -> Float:
    """One affine after another."""
    return np.column_stack([after_23[:, :2] @ first_23[:, :2], moved(first_23[:, 2][None], after_23)[0]])


def inner_points(landmarks_TK2: NDArray[np.floating], affine_T23: NDArray[np.floating], offset_px: float) -> Float:
    """The landmarks that are kept, from frame px to inner px, (T, K, 2)."""
    kept = np.asarray(landmarks_TK2[:, list(KEPT)], np.float64)
    crop = np.einsum("tij,tkj->tki", affine_T23[:, :, :2], kept) + affine_T23[:, None, :, 2]
    return np.asarray(crop - offset_px, np.float64)
