"""Material for the tests of the metrics: the presenter's frames, cut by one fixed square, and its true key points."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from recipe.mask_328 import alpha_bounds
from recipe.recipe_328 import INNER_OFFSET_PX, PATCH_TOP_PX

DATA = Path(__file__).resolve().parent / "data"
# Frame px -> crop px: the mouth lands where the aligned crop has it, closely enough for the fixed mask.
SCALE, SHIFT_X, SHIFT_Y = 1.7, -290.0, -345.0


@dataclass(frozen=True)
class Material:
    """Strips of consecutive frames (T, 192, 320, 3) RGB with the true mouth boxes and openings."""

    strips_THWC: NDArray[np.uint8]
    boxes_T4: NDArray[np.int64]
    opening_T: NDArray[np.float64]
    frames_THWC: NDArray[np.uint8]


def true_eyes(truth: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
    """Centres of the eyeballs, px (T, 2, 2): the person's left one, then the right one."""
    names = list(truth["keypoint_names"])
    return truth["keypoints_px"][:, [names.index("eye_left"), names.index("eye_right")]]


@cache
def material(first: int = 40, count: int = 100) -> Material:
    """Frames [first, first + count) of the presenter video."""
    truth = np.load(DATA / "presenter_ground_truth.npz")
    affine = np.array([[SCALE, 0, SHIFT_X], [0, SCALE, SHIFT_Y]], np.float32)
    top = INNER_OFFSET_PX + PATCH_TOP_PX
    frames, strips = [], []
    with av.open(str(DATA / "presenter.mp4")) as container:
        for index, frame in enumerate(container.decode(video=0)):
            if index >= first + count:
                break
            if index >= first:
                rgb = frame.to_ndarray(format="rgb24")
                crop = cv2.warpAffine(rgb, affine, (328, 328), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
                frames.append(rgb)
                strips.append(crop[top : top + 192, INNER_OFFSET_PX : INNER_OFFSET_PX + 320])
    names = list(truth["keypoint_names"])
    points = truth["keypoints_px"][first : first + count] * SCALE + (SHIFT_X, SHIFT_Y)
    lips = points[
        :, [names.index(n) for n in ("lip_inner_0", "lip_inner_6", "lip_inner_3", "lip_inner_9", "lip_outer_0")]
    ]
    lips = lips - (INNER_OFFSET_PX, top)
    low, high = lips.min(axis=1) - 8, lips.max(axis=1) + 14
    boxes = np.concatenate([low, high], axis=1).astype(np.int64).clip(0, [320, 192, 320, 192])
    eyes = np.linalg.norm(np.diff(true_eyes(truth), axis=1)[:, 0], axis=1)
    opening = (truth["mouth_open_px"] / eyes)[first : first + count]
    return Material(np.stack(strips), boxes, opening.astype(np.float64), np.stack(frames))


def strip_mask() -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """(where the drawn picture may show, where it shows alone), on the strip."""
    low, high = alpha_bounds()
    return high[PATCH_TOP_PX:] > 0, low[PATCH_TOP_PX:] >= 1
