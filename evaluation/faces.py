"""Landmarks of drawn faces, found the way preparation finds those of filmed ones.

Each take is pasted back into the whole frames first, by the code that serving uses: the tracker then sees what
a viewer sees, with the forehead and the background that a face detector needs.

Axes: T frames of the test block, K landmarks, H W C picture (RGB, uint8).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from data_prep.face_mesh import LANDMARKS
from data_prep.landmarks import FaceTracker
from recipe.mask_328 import alpha_bounds
from recipe.paste import paste_patch, plan_paste
from recipe.recipe_328 import INNER_OFFSET_PX, PATCH_TOP_PX


class Frames(Protocol):
    """Filmed frames by number."""

    def frame(self, index: int) -> NDArray[np.uint8]:
        """A copy of one frame, (H, W, 3) RGB."""


def pasted_frames(
    filmed: Frames, frames_T: NDArray[np.int64], affine_T23: NDArray[np.float32], strips_THWC: NDArray[np.uint8] | None
) -> Iterator[NDArray[np.uint8]]:
    """Whole frames with the strips laid over them; the filmed frames where `strips_THWC` is None.

    Args:
        frames_T: numbers of the frames to show.
        affine_T23: frame px -> crop px of those frames.
    """
    alpha = (alpha_bounds()[1][PATCH_TOP_PX:, :, None] > 0).astype(np.uint8) * 255
    for t, index in enumerate(frames_T if strips_THWC is None else frames_T[: len(strips_THWC)]):
        frame = filmed.frame(int(index))
        if strips_THWC is not None:
            patch = np.concatenate([strips_THWC[t], alpha], axis=-1)
            paste_patch(frame, patch, plan_paste(affine_T23[t], frame.shape[0], frame.shape[1]))
        yield frame


def find_landmarks(frames: Iterable[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """Landmarks (T, 478, 2) in frame px of one followed face; NaN where it was not found."""
    tracker = FaceTracker()
    try:
        found = [tracker.track(frame) for frame in frames]
    finally:
        tracker.close()
    missing = np.full((LANDMARKS, 2), np.nan, np.float32)
    return np.stack([missing if points is None else points for points in found]).astype(np.float32)


def to_strip(landmarks_TK2: NDArray[np.float32], affine_T23: NDArray[np.float32]) -> NDArray[np.float32]:
    """Frame px -> pixels of the strip that may change."""
    affine_T23 = affine_T23[: len(landmarks_TK2)]
    crop_TK2 = landmarks_TK2 @ affine_T23[:, :, :2].transpose(0, 2, 1) + affine_T23[:, None, :, 2]
    strip_origin = np.array([INNER_OFFSET_PX, INNER_OFFSET_PX + PATCH_TOP_PX])
    return np.asarray(crop_TK2 - strip_origin, np.float32)
