"""Lids that close and irises that wander, painted into the source picture before it is warped.

A closed lid is what skin around the eye suggests: the eye with its lashes is filled in from its edge once per source.

Axes: H W C picture, E eyes (the one on the picture's left first), L points of a lid's line.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from recipe.warp.curves import smoothstep
from recipe.warp.fields import sampled
from recipe.warp.outlines import filled, stroked
from recipe.warp.points import LEFT_IRIS, LOWER_LIDS, RIGHT_IRIS, UPPER_LIDS

Float32 = NDArray[np.float32]
_MARGIN: Final = 0.45  # of the eye's width around it
_LASHES: Final = (0.16, 0.09)  # above the upper line and below the lower one lashes end, in widths of the eye
_LASH_DARK: Final = 0.72
_FULL_AT: Final = 0.30  # the lid has its full strength at this blink: the lashes at rest fade rather than vanish
_GAZE: Final = 0.10  # widths of the eye that a full gaze moves the iris
_GAZE_DOWN: Final = 0.5  # of that, up and down: lids are in the way


@dataclass(frozen=True)
class Eye:
    """One eye of a source; lines in px of the box."""

    box_px: tuple[int, int, int, int]  # x0, y0, x1, y1 in the picture
    closed_HWC: Float32  # the box with the lid over the eye, 0..255
    upper_L2: Float32
    lower_L2: Float32
    lash_rgb: Float32
    places_HW2: Float32  # x and y of every pixel of the box
    gaze_HW: Float32  # which share of the iris' movement a pixel of the box takes part in


def find_eye_boxes(points_K2: NDArray[np.floating], width: int, height: int) -> NDArray[np.int32]:
    """Boxes around both eyes, inside the picture: (E, 4)."""
    boxes = []
    for upper, lower in zip(UPPER_LIDS, LOWER_LIDS, strict=True):
        eye = points_K2[[*upper, *lower]]
        pad = _MARGIN * np.ptp(eye[:, 0])
        low, high = np.floor(eye.min(0) - pad), np.ceil(eye.max(0) + pad)
        boxes.append(np.clip([*low, *high], 0, [width, height, width, height]))
    return np.array(boxes, np.int32)


def closed_lid(rgb_HWC: NDArray[np.uint8], points_K2: NDArray[np.floating], eye: int) -> NDArray[np.uint8]:
    """The box of an eye with skin where the eye and its lashes are: (h, w, 3)."""
    height, width = rgb_HWC.shape[:2]
    x0, y0, x1, y1 = find_eye_boxes(points_K2, width, height)[eye]
    upper, lower = (points_K2[list(line[eye])] - [x0, y0] for line in (UPPER_LIDS, LOWER_LIDS))
    span = float(np.ptp(upper[:, 0]))
    above, below = np.array([[0, -_LASHES[0] * span], [0, _LASHES[1] * span]])
    outline = np.concatenate([upper + above, (lower + below)[::-1]])
    hole = np.zeros((y1 - y0, x1 - x0), np.uint8)
    cv2.fillPoly(hole, [np.round(outline).astype(np.int32)], 255)
    hole = cv2.dilate(hole, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, [int(0.07 * span) * 2 + 1] * 2))
    part = np.ascontiguousarray(rgb_HWC[y0:y1, x0:x1])
    filled = cv2.inpaint(part, hole, 0.12 * span, cv2.INPAINT_TELEA).astype(np.float32)
    soft = cv2.GaussianBlur(filled, (0, 0), 0.05 * span)
    blend = cv2.GaussianBlur(hole.astype(np.float32) / 255, (0, 0), 0.02 * span)[..., None]
    lid = (filled + (soft - filled) * blend) * _bulge(upper, lower, hole.shape)[..., None]
    return np.clip(lid + 0.5, 0, 255).astype(np.uint8)


def _bulge(upper_L2: NDArray[np.floating], lower_L2: NDArray[np.floating], shape: tuple[int, ...]) -> Float32:
    """A closed lid lies on a ball: a little lighter in its middle, darker towards the lower lashes."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    order = np.argsort(upper_L2[:, 0])
    top = np.interp(x[0], upper_L2[order, 0], upper_L2[order, 1])
    bottom = np.interp(x[0], lower_L2[order, 0], lower_L2[order, 1])
    span = np.ptp(upper_L2[:, 0])
    down = (y - top) / np.maximum(bottom - top, 0.1 * span)
    across = np.abs(x - upper_L2[:, 0].mean()) / (0.5 * span)
    inside = smoothstep(-0.6, 0.2, down) * smoothstep(1.5, 0.9, down) * smoothstep(1.1, 0.6, across)
    return np.asarray(
        1 + inside * (0.05 * smoothstep(0.9, 0.2, np.abs(down - 0.3)) - 0.07 * down.clip(0, 1)), np.float32
    )


def build_eye(
    rgb_HWC: NDArray[np.uint8], points_K2: NDArray[np.floating], eye: int, closed_HWC: NDArray[np.uint8]
) -> Eye:
    """Put together what drawing needs from what is kept of a source."""
    height, width = rgb_HWC.shape[:2]
    x0, y0, x1, y1 = (int(v) for v in find_eye_boxes(points_K2, width, height)[eye])
    upper, lower = (points_K2[list(line[eye])] - [x0, y0] for line in (UPPER_LIDS, LOWER_LIDS))
    order = np.argsort(upper[:, 0])
    part = rgb_HWC[y0:y1, x0:x1]
    at = np.clip(upper[2:-2].astype(int), 0, [x1 - x0 - 1, y1 - y0 - 1])
    darkest = cv2.erode(part, np.ones((3, 3), np.uint8))[at[:, 1], at[:, 0]]
    lash = np.minimum(np.median(darkest, axis=0), 0.45 * closed_HWC.mean((0, 1)))
    gaze = _gaze_share(upper[order], lower[order], points_K2, eye, (x0, y0), part.shape)
    lines = (upper[order].astype(np.float32), lower[order].astype(np.float32))
    places = np.stack(np.meshgrid(np.arange(x1 - x0), np.arange(y1 - y0)), axis=-1).astype(np.float32)
    return Eye((x0, y0, x1, y1), closed_HWC.astype(np.float32), *lines, lash.astype(np.float32), places, gaze)


def _gaze_share(
    upper_L2: NDArray[np.floating],
    lower_L2: NDArray[np.floating],
    points_K2: NDArray[np.floating],
    eye: int,
    origin: tuple[int, int],
    shape: tuple[int, ...],
) -> Float32:
    iris = points_K2[[RIGHT_IRIS, LEFT_IRIS][eye] :][:5] - origin
    radius = np.linalg.norm(iris[1:] - iris[0], axis=1).mean()
    y, x = np.mgrid[: shape[0], : shape[1]]
    reach = np.hypot(x - iris[0, 0], y - iris[0, 1]) / max(radius, 1.0)
    opening = filled(np.concatenate([upper_L2, lower_L2[::-1]]), shape)
    edge = np.asarray(cv2.GaussianBlur(opening, (0, 0), 0.03 * float(np.ptp(upper_L2[:, 0]))), np.float64)
    return np.asarray(smoothstep(2.3, 1.1, reach) * smoothstep(0.35, 0.95, edge), np.float32)


def draw_eye(source_HWC: NDArray[np.uint8], eye: Eye, blink: float, gaze_2: Float32) -> None:
    """Paint an eye into a copy of the source.

    Args:
        source_HWC: changed in the eye's box only.
        eye: of the same source.
        blink: 0 as in the picture, 1 closed.
        gaze_2: -1..1, to the picture's right and down.
    """
    x0, y0, x1, y1 = eye.box_px
    part = source_HWC[y0:y1, x0:x1]
    if np.any(np.abs(gaze_2) > 1e-3):
        part[:] = _with_gaze(part, eye, gaze_2)
    if blink > 0.02:
        part[:] = _with_lid(part, eye, blink)


def _with_gaze(part_HWC: NDArray[np.uint8], eye: Eye, gaze_2: Float32) -> NDArray[np.uint8]:
    step = gaze_2 * np.float32(_GAZE) * np.ptp(eye.upper_L2[:, 0]) * np.array([1.0, _GAZE_DOWN], np.float32)
    return sampled(part_HWC, eye.places_HW2 - eye.gaze_HW[..., None] * step)


def _with_lid(part_HWC: NDArray[np.uint8], eye: Eye, blink: float) -> NDArray[np.uint8]:
    span = float(np.ptp(eye.upper_L2[:, 0]))
    fall = np.maximum(eye.lower_L2[:, 1] - eye.upper_L2[:, 1], 0)
    edge = eye.upper_L2 + np.stack([np.zeros_like(fall), blink * fall], axis=-1)
    above = eye.upper_L2 - np.array([0, _LASHES[0] * span], np.float32)
    strength = min(1.0, blink / _FULL_AT)
    lid = filled(np.concatenate([above, edge[::-1]]), part_HWC.shape)
    if blink > 0.9:  # shut: what shows below the line (lower lashes, a rest of white) goes too
        under = (eye.lower_L2 + np.array([0, 0.03 * span], np.float32))[::-1]
        lid = np.maximum(lid, filled(np.concatenate([above, under]), part_HWC.shape))
    lid = cv2.GaussianBlur(lid, (0, 0), 0.025 * span)[..., None] * strength
    picture = part_HWC + (eye.closed_HWC - part_HWC) * lid
    lash = stroked(edge, part_HWC.shape, max(1, round(0.055 * span)))
    dark = cv2.GaussianBlur(lash, (0, 0), 0.022 * span)[..., None] * (_LASH_DARK * strength)
    picture += (eye.lash_rgb - picture) * dark
    return np.clip(picture + 0.5, 0, 255).astype(np.uint8)
