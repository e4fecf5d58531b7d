"""Lay the drawn patch over the frame it was cut from: the inverse of the crop.

The patch covers the lower rows of the crop's inner square. It is laid on with its own soft alpha, so that no
edge of it can show, and only the pixels it touches are changed.

Axes: H W C picture. Pixel centres lie at whole numbers, in the frame, the crop and the patch alike.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from recipe.recipe_328 import INNER_OFFSET_PX, INNER_PX, PATCH_HEIGHT_PX, PATCH_TOP_PX

_LOBES: Final = 2  # of the Lanczos kernel that removes detail too fine for the frame's pixels
_SHRINKS_FROM: Final = 1.01


@dataclass(frozen=True, eq=False, slots=True)
class PastePlan:
    """All that depends on the template frame alone.

    Attributes:
        rows: of the frame that the patch touches.
        columns: likewise.
        to_patch_23: pixel of that region (x, y) -> pixel of the patch.
        low_pass: taps of the filter before sampling; None where the patch is not shrunk.
        patch_size: height and width, px.
    """

    rows: slice
    columns: slice
    to_patch_23: NDArray[np.float64]
    low_pass: NDArray[np.float32] | None
    patch_size: tuple[int, ...] = (PATCH_HEIGHT_PX, INNER_PX)

    @property
    def shrinks(self) -> bool:
        """Whether the frame has fewer pixels than the patch, and at least one."""
        return self.low_pass is not None and self.rows.start < self.rows.stop and self.columns.start < self.columns.stop

    def within_region(self) -> PastePlan:
        """The same plan for a picture that is the region alone."""
        height, width = self.rows.stop - self.rows.start, self.columns.stop - self.columns.start
        return replace(self, rows=slice(0, height), columns=slice(0, width))


def plan_paste(affine_23: NDArray[np.float32], frame_height: int, frame_width: int) -> PastePlan:
    """Work out where in the frame the patch lies.

    Args:
        affine_23: frame px -> crop px, a similarity.
        frame_height: px.
        frame_width: px.
    Returns:
        The plan; its region is empty where the patch lies outside the frame.
    """
    to_patch_23 = affine_23.astype(np.float64)
    to_patch_23[:, 2] -= (INNER_OFFSET_PX, INNER_OFFSET_PX + PATCH_TOP_PX)
    linear_22, shift_2 = to_patch_23[:, :2], to_patch_23[:, 2]
    x, y = (-1, INNER_PX), (-1, PATCH_HEIGHT_PX)
    corners_42 = np.array([(x[i], y[j]) for i in (0, 1) for j in (0, 1)], np.float64)
    in_frame_42 = (corners_42 - shift_2) @ np.linalg.inv(linear_22).T
    limits_2 = (frame_width, frame_height)
    first_2 = np.clip(np.floor(in_frame_42.min(axis=0)), 0, limits_2).astype(int)
    stop_2 = np.clip(np.ceil(in_frame_42.max(axis=0)) + 1, first_2, limits_2).astype(int)
    to_patch_23[:, 2] += linear_22 @ first_2
    patch_px_per_frame_px = float(np.sqrt(np.linalg.det(linear_22)))
    return PastePlan(
        rows=slice(int(first_2[1]), int(stop_2[1])),
        columns=slice(int(first_2[0]), int(stop_2[0])),
        to_patch_23=to_patch_23,
        low_pass=_lanczos(patch_px_per_frame_px) if patch_px_per_frame_px > _SHRINKS_FROM else None,
    )


def _lanczos(stretch: float) -> NDArray[np.float32]:
    """Taps of a low-pass filter that keeps what fits into pixels `stretch` times as large."""
    reach = int(np.floor(_LOBES * stretch))
    t = np.arange(-reach, reach + 1) / stretch
    taps: NDArray[np.float64] = np.sinc(t) * np.sinc(t / _LOBES)
    return np.asarray(taps / taps.sum(), np.float32)


def paste_patch(
    frame_rgb_HWC: NDArray[np.uint8], patch_rgba_HWC: NDArray[np.uint8], plan: PastePlan
) -> NDArray[np.uint8]:
    """Draw the patch into the frame.

    Args:
        frame_rgb_HWC: uint8; changed in place, inside the plan's region.
        patch_rgba_HWC: uint8 (*plan.patch_size, 4), straight alpha.
        plan: where; from `plan_paste` with the frame's own transform.
    Returns:
        The same frame.
    """
    if patch_rgba_HWC.shape != (*plan.patch_size, 4):
        raise ValueError(f"the patch has shape {patch_rgba_HWC.shape}, expected {(*plan.patch_size, 4)}")
    region_HWC = frame_rgb_HWC[plan.rows, plan.columns]
    height, width = region_HWC.shape[:2]
    if height == 0 or width == 0:
        return frame_rgb_HWC
    drawn_HWC: cv2.typing.MatLike = _times_alpha(patch_rgba_HWC)
    if plan.low_pass is not None:
        drawn_HWC = cv2.sepFilter2D(drawn_HWC, -1, plan.low_pass, plan.low_pass, borderType=cv2.BORDER_REPLICATE)
    drawn_HWC = cv2.warpAffine(
        drawn_HWC, plan.to_patch_23, (width, height), flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    )
    _lay(region_HWC, drawn_HWC)
    return frame_rgb_HWC


def lay_over(region_rgb_HWC: NDArray[np.uint8], drawn_rgba_HWC: NDArray[np.uint8]) -> None:
    """Draw what has the pixels of the region.

    Args:
        region_rgb_HWC: uint8, at least one pixel; changed in place.
        drawn_rgba_HWC: uint8 of the same height and width, straight alpha.
    """
    _lay(region_rgb_HWC, _times_alpha(drawn_rgba_HWC))


def _times_alpha(rgba_HWC: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Colour times alpha: the colour of an invisible pixel means nothing and must not bleed into its neighbours."""
    alpha_HW = rgba_HWC[..., 3]
    weights_HWC = cv2.merge([alpha_HW, alpha_HW, alpha_HW, np.full_like(alpha_HW, 255)])
    return np.asarray(cv2.multiply(rgba_HWC, weights_HWC, scale=1 / 255, dtype=cv2.CV_32F), np.float32)


def _lay(region_HWC: NDArray[np.uint8], drawn_HWC: cv2.typing.MatLike) -> None:
    red, green, blue, alpha = cv2.split(drawn_HWC)
    kept = 255 - alpha  # where the sampling overshoots, colour and alpha do so together, and it cancels out here
    filmed_HWC = cv2.multiply(region_HWC, cv2.merge([kept, kept, kept]), scale=1 / 255, dtype=cv2.CV_32F)
    region_HWC[:] = cv2.add(filmed_HWC, cv2.merge([red, green, blue]), dtype=cv2.CV_8U)
