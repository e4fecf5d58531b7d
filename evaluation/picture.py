"""Metrics that compare drawn with filmed pixels: PSNR, SSIM, sharpness, seam and flicker.

All pictures are *strips*: the rows of the inner square that the network may change, uint8 RGB,
`drawn_THWC` and `filmed_THWC` of the same shape (T, 192, 320, 3). Boxes are (x0, y0, x1, y1) in strip pixels,
end exclusive. Axes: T frames, H W C picture.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from evaluation.value import Value, known, unknown

Strips = NDArray[np.uint8]
Floats = NDArray[np.float64]

PSNR_CAP_DB = 100.0  # what identical pictures score
_SSIM_SIGMA, _SSIM_TAPS = 1.5, 11  # Wang et al. 2004
_SSIM_C1, _SSIM_C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
_SEAM_DEPTH_PX = 24  # contours examined, counted inwards from the edge of the mask
_STILL_LEVELS = 0.02  # mean change per frame (grey levels) below which nothing moves


def psnr_T(drawn_THWC: Strips, filmed_THWC: Strips, region_THW: NDArray[np.bool_]) -> Floats:
    """Peak signal-to-noise ratio per frame inside a region, dB, capped at PSNR_CAP_DB.

    Args:
        region_THW: bool, (T, H, W), or (1, H, W) when it is the same for every frame.
    """
    scores = np.empty(len(drawn_THWC))
    for t, (drawn, filmed) in enumerate(zip(drawn_THWC, filmed_THWC, strict=True)):
        region = region_THW[t % len(region_THW)]
        error = drawn[region].astype(np.float64) - filmed[region]
        mean_square = float(np.mean(error * error))
        scores[t] = min(PSNR_CAP_DB, 10 * np.log10(255**2 / mean_square)) if mean_square > 0 else PSNR_CAP_DB
    return scores


def ssim_map(drawn_HWC: Strips, filmed_HWC: Strips) -> Floats:
    """Structural similarity around every pixel: 11-tap Gaussian window of sigma 1.5, mean over the channels."""
    a, b = drawn_HWC.astype(np.float64), filmed_HWC.astype(np.float64)
    mean_a, mean_b = _window_mean(a), _window_mean(b)
    variance_a = _window_mean(a * a) - mean_a * mean_a
    variance_b = _window_mean(b * b) - mean_b * mean_b
    covariance = _window_mean(a * b) - mean_a * mean_b
    similarity = ((2 * mean_a * mean_b + _SSIM_C1) * (2 * covariance + _SSIM_C2)) / (
        (mean_a**2 + mean_b**2 + _SSIM_C1) * (variance_a + variance_b + _SSIM_C2)
    )
    return np.asarray(similarity.mean(axis=2))


def ssim_T(
    drawn_THWC: Strips, filmed_THWC: Strips, regions: tuple[NDArray[np.bool_], ...]
) -> tuple[NDArray[np.float64], ...]:
    """Mean of the SSIM map per frame, for each region (as in `psnr_T`); the map is made once."""
    scores = [np.empty(len(drawn_THWC)) for _ in regions]
    for t, (drawn, filmed) in enumerate(zip(drawn_THWC, filmed_THWC, strict=True)):
        similarity = ssim_map(drawn, filmed)
        for score, region_THW in zip(scores, regions, strict=True):
            score[t] = similarity[region_THW[t % len(region_THW)]].mean()
    return tuple(scores)


def sharpness_ratio(drawn_THWC: Strips, filmed_THWC: Strips, boxes_T4: NDArray[np.int64]) -> Value:
    """Variance of the Laplacian inside the boxes, drawn over filmed: below 1 is blurred, above 1 too crisp."""
    drawn = np.mean([_laplacian_variance(f, box) for f, box in zip(drawn_THWC, boxes_T4, strict=True)])
    filmed = np.mean([_laplacian_variance(f, box) for f, box in zip(filmed_THWC, boxes_T4, strict=True)])
    if filmed <= 0:
        return unknown("the filmed mouth is one flat colour: its sharpness is zero")
    return known(float(drawn / filmed))


def seam_ratio(drawn_THWC: Strips, filmed_THWC: Strips, mask_HW: NDArray[np.bool_]) -> Value:
    """Step across the edge of the mask, drawn over filmed, at the contour where it is worst.

    The gradient towards the inside of the mask is averaged along each contour of equal distance from the
    edge. A seam is a contour on which the drawn picture steps and the filmed one does not; it shows
    whichever contour it lies on. 1 is a perfect picture.

    Args:
        mask_HW: True where the drawn picture may show (alpha > 0), strip pixels.
    """
    depth = ndimage.distance_transform_edt(np.pad(mask_HW, ((0, 1), (1, 1))))[:-1, 1:-1]
    depth -= ndimage.distance_transform_edt(~np.pad(mask_HW, ((0, 1), (1, 1)), constant_values=False))[:-1, 1:-1]
    normal_y, normal_x = _gradient(ndimage.gaussian_filter(depth, 1.0))
    contour_HW = np.where((depth >= -2) & (depth < _SEAM_DEPTH_PX), np.floor(depth).astype(np.int64) + 2, -1)
    contour_HW[[0, -1], :] = -1  # the strip ends here: no gradient across its own edge
    present = np.bincount(contour_HW[contour_HW >= 0]) > 0
    drawn = _steps_per_contour(drawn_THWC, normal_y, normal_x, contour_HW)[present]
    filmed = _steps_per_contour(filmed_THWC, normal_y, normal_x, contour_HW)[present]
    if filmed.min() <= 0:
        return unknown("the filmed picture is one flat colour along the mask's edge")
    return known(float((drawn / filmed).max()))


def quiet_skin(
    filmed_THWC: Strips, core_HW: NDArray[np.bool_], boxes_T4: NDArray[np.int64], consecutive_T: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """The half of the hidden skin that moves least in the real video, mouth boxes left out.

    Args:
        core_HW: True where the drawn picture replaces the filmed one entirely.
        consecutive_T: True where frame t follows frame t - 1 of the same take.
    """
    skin = core_HW.copy()
    x0, y0 = boxes_T4[:, :2].min(axis=0)
    x1, y1 = boxes_T4[:, 2:].max(axis=0)
    skin[y0:y1, x0:x1] = False
    change = np.zeros(core_HW.shape)
    for t in np.flatnonzero(consecutive_T):
        change += np.abs(_grey(filmed_THWC[t]) - _grey(filmed_THWC[t - 1]))
    if not skin.any():
        return skin
    return np.asarray(skin & (change <= np.median(change[skin])))


def flicker_ratio(
    drawn_THWC: Strips, filmed_THWC: Strips, region_HW: NDArray[np.bool_], pairs_T: NDArray[np.bool_]
) -> Value:
    """Mean change from frame to frame in a region, drawn over filmed; 1 is as steady as the real video.

    Args:
        region_HW: pixels looked at.
        pairs_T: True for each frame t that is compared with frame t - 1.
    """
    if not pairs_T.any():
        return unknown("no two consecutive frames of this kind in the test block")
    if not region_HW.any():
        return unknown("no skin is left in the mask beside the mouth")
    drawn = filmed = 0.0
    for t in np.flatnonzero(pairs_T):
        drawn += float(np.abs(_grey(drawn_THWC[t]) - _grey(drawn_THWC[t - 1]))[region_HW].mean())
        filmed += float(np.abs(_grey(filmed_THWC[t]) - _grey(filmed_THWC[t - 1]))[region_HW].mean())
    if filmed / pairs_T.sum() < _STILL_LEVELS:
        return unknown("the real video does not change at all there, so there is nothing to compare with")
    return known(drawn / filmed)


def box_regions(boxes_T4: NDArray[np.int64], height: int, width: int) -> NDArray[np.bool_]:
    """(T, height, width) bool, True inside each frame's box."""
    y, x = np.ogrid[0:height, 0:width]
    x0, y0, x1, y1 = (boxes_T4[:, k, None, None] for k in range(4))
    return np.asarray((x >= x0) & (x < x1) & (y >= y0) & (y < y1))


def _window_mean(image_HWC: Floats) -> Floats:
    return np.asarray(cv2.GaussianBlur(image_HWC, (_SSIM_TAPS, _SSIM_TAPS), _SSIM_SIGMA), np.float64)


def _grey(image_HWC: Strips) -> Floats:
    return np.asarray(image_HWC @ np.array([0.299, 0.587, 0.114]), np.float64)


def _gradient(image_HW: Floats) -> tuple[Floats, Floats]:
    along_y, along_x = np.gradient(image_HW)
    return np.asarray(along_y), np.asarray(along_x)


def _laplacian_variance(image_HWC: Strips, box_4: NDArray[np.int64]) -> float:
    x0, y0, x1, y1 = box_4
    return float(cv2.Laplacian(_grey(image_HWC), cv2.CV_64F)[y0:y1, x0:x1].var())


def _steps_per_contour(
    strips_THWC: Strips, normal_y: Floats, normal_x: Floats, contour_HW: NDArray[np.int64]
) -> Floats:
    """Mean |gradient along the normal| on each contour, over all frames."""
    inside = contour_HW >= 0
    total = np.zeros(contour_HW.shape)
    for strip in strips_THWC:
        along_y, along_x = _gradient(_grey(strip))
        total += np.abs(along_y * normal_y + along_x * normal_x)
    count = np.bincount(contour_HW[inside])
    return np.asarray(np.bincount(contour_HW[inside], weights=total[inside]) / np.maximum(count, 1) / len(strips_THWC))
