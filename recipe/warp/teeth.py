"""Teeth, gums and tongue of the presenter as flat pictures in the colours of a photo.

Axes: H W C sprite, P points, Q quads.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from recipe.warp.basis import Basis, Float, load_basis
from recipe.warp.face import Face
from recipe.warp.points import LOWER_LIDS, UPPER_LIDS

_PX_PER_DM: Final = 600  # they are drawn large and made smaller
_HALF_HEIGHT_DM, _HALF_WIDTH_DM = 0.34, 0.40
_DEEPEST_DM: Final = 0.36  # behind the front teeth: molars are dark
_SPRITES: Final = {
    "upper_teeth": ("upper_gum", "upper_teeth"),
    "lower_teeth": ("lower_gum", "lower_teeth"),
    "tongue": ("tongue",),
}
_SOFT_PX: Final = {"upper_teeth": 1.2, "lower_teeth": 1.2, "tongue": 6.0}  # facets are blurred away
# Against the skin's mean brightness.
_GUM_RGB: Final = np.array([0.70, 0.37, 0.36])
_TONGUE_RGB: Final = np.array([0.62, 0.31, 0.31])
_DIM_RGB: Final = np.array([0.92, 1.05, 1.14])  # light that came through a mouth is red
_TOOTH_TINT: Final = np.array([1.05, 0.99, 0.92])


def mouth_sprites(face: Face, rgb_HWC: NDArray[np.uint8]) -> dict[str, NDArray[np.uint8]]:
    """`upper_teeth`, `lower_teeth` and `tongue` at the photo's scale: RGBA, premultiplied, centred on the lip line."""
    basis = load_basis()
    tooth = _tooth_rgb(face, rgb_HWC)
    level = face.skin_rgb.mean()
    tinge = 0.5 * face.skin_rgb / level + 0.5  # gums and tongue take half of the skin's cast
    scale = face.px_per_dm / _PX_PER_DM
    sprites = {}
    for name, parts in _SPRITES.items():
        light, is_tooth, alpha = np.moveaxis(_drawn(basis, parts, _SOFT_PX[name]), -1, 0)[..., None]
        flesh = (_TONGUE_RGB if name == "tongue" else _GUM_RGB) * level * tinge
        colour = light**_DIM_RGB * (is_tooth * tooth + (alpha - is_tooth) * flesh)
        picture = np.concatenate([colour, 255 * alpha], axis=-1).astype(np.float32)
        small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        sprites[name] = np.clip(small + 0.5, 0, 255).astype(np.uint8)
    return sprites


def _tooth_rgb(face: Face, rgb_HWC: NDArray[np.uint8]) -> Float:
    """The photo's own teeth, or what its eyes' white says of the light: teeth are about as bright, and warmer."""
    if face.tooth_rgb is not None:
        return face.tooth_rgb
    white = _eye_white(face.points_K3[:, :2], rgb_HWC)
    level = max(0.92 * white, 1.12 * face.skin_rgb.mean())
    cast = 0.15 * face.skin_rgb / face.skin_rgb.mean() + 0.85
    return np.minimum(level * cast * _TOOTH_TINT, 235.0)


def _eye_white(points_K2: Float, rgb_HWC: NDArray[np.uint8]) -> float:
    eyes = np.zeros(rgb_HWC.shape[:2], np.uint8)
    for upper, lower in zip(UPPER_LIDS, LOWER_LIDS, strict=True):
        outline = np.concatenate([points_K2[list(upper)], points_K2[list(lower)][::-1]])
        cv2.fillPoly(eyes, [outline.astype(np.int32)], 1)
    inside = rgb_HWC[eyes > 0].astype(np.float64).mean(1)
    return float(np.percentile(inside, 80)) if len(inside) else 0.0


def _drawn(basis: Basis, parts: tuple[str, ...], soft_px: float) -> NDArray[np.float32]:
    """Light, share of tooth and opacity, seen from the front, the furthest quad first."""
    size = (int(_HALF_HEIGHT_DM * _PX_PER_DM) * 2, int(_HALF_WIDTH_DM * _PX_PER_DM) * 2)
    sprite, quads = np.zeros((*size, 3), np.float32), []
    for part in parts:
        points, corners_Q4 = basis.parts[part]
        corners = points[corners_Q4]
        is_tooth = float(part.endswith("teeth"))
        light = _light(corners, points[:, 2].max(), glint=0.30 if is_tooth else 0.10)
        xy = (corners[..., :2] - basis.lip_line_3[:2]) * [_PX_PER_DM, -_PX_PER_DM] + [size[1] / 2, size[0] / 2]
        quads += list(
            zip(corners[..., 2].mean(1), (xy * 16).astype(np.int32), light, [is_tooth] * len(xy), strict=True)
        )
    for _, xy_42, light_of_quad, is_tooth in sorted(quads, key=lambda quad: quad[0]):
        cv2.fillConvexPoly(sprite, xy_42, (float(light_of_quad), is_tooth, 1.0), cv2.LINE_8, 4)
    return np.asarray(cv2.GaussianBlur(sprite, (0, 0), soft_px), np.float32)


def _light(corners_Q43: Float, front: float, glint: float) -> Float:
    """From the front and a little from above; the deeper, the darker."""
    normals = np.cross(corners_Q43[:, 2] - corners_Q43[:, 0], corners_Q43[:, 3] - corners_Q43[:, 1])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
    depth = np.clip((front - corners_Q43[..., 2].mean(1)) / _DEEPEST_DM, 0, 1)
    shine = glint * np.maximum(normals @ np.array([0.10, 0.30, 0.95]), 0) ** 24 * (1 - depth)
    return np.asarray((0.48 + 0.50 * normals[:, 2] + 0.14 * normals[:, 1]) * (1 - 0.72 * depth**0.8) + shine)
