"""What shows between parted lips: the depth of the mouth, tongue, both rows of teeth, and the light on them.

The upper teeth are fixed to the skull, the lower ones and the tongue follow the jaw.

Axes: H W C picture, L points of a lip's line.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from recipe.articulation.mouth_units import MOUTH_UNITS

Float32 = NDArray[np.float32]
# The presenter's rows hide behind the lips at small openings. The upper crowns are made longer downwards, from a height
# above the lips' line, so that the gums stay under a lip that f and v raise; the lower row is moved up. Millimetres.
_UPPER_FROM_MM, _UPPER_EDGE_MM, _UPPER_LONGER_MM = 6.0, -1.6, 2.2
_UPPER_STRETCH: Final = 1 + _UPPER_LONGER_MM / (_UPPER_FROM_MM - _UPPER_EDGE_MM)
_LOWER_UP_MM: Final = 1.2
_TONGUE_FOLLOWS: Final = 0.8  # of the jaw's way
_TONGUE_DM: Final = {"tongueTipUp": 0.10, "tongueBodyUp": 0.07, "tongueLow": -0.05}  # what raises it
_CORNER: Final = 0.24  # of the lips' width at either end shows the inside of the cheeks
_SHADE: Final = 0.042  # eye distances that the lips' shadow reaches into the mouth
_DARKEST: Final = 0.42
_OWN_LIGHT: Final = 0.35  # of the shadow falls on the photo's own teeth, which have theirs already
_LOWER_LIGHT: Final = 0.86  # of the light reaches the lower teeth, which lie further back
# Lips pushed forward leave the teeth in the dark.
_FORWARD: Final = {"mouthPucker": 0.6, "mouthFunnel": 0.45}
_LEAST_LIGHT: Final = 0.5
_DIM_RGB: Final = np.array([0.85, 1.1, 1.25], np.float32)  # light that finds its way into a mouth is red
_FORWARD_U: Final = np.array([_FORWARD.get(name, 0.0) for name in MOUTH_UNITS], np.float32)
_JAW: Final = MOUTH_UNITS.index("jawOpen")
_TONGUE_U: Final = np.array([_TONGUE_DM.get(name, 0.0) for name in MOUTH_UNITS], np.float32)


class MouthInterior:
    """The inside of one source's mouth."""

    def __init__(self, arrays: Mapping[str, NDArray[np.generic]]) -> None:
        """From the arrays of `recipe.warp.arrays`."""
        self._jaw_2, self._facing_22 = (np.asarray(arrays[n], np.float32) for n in ("jaw_2", "facing_22"))
        self._anchor_2 = np.asarray(arrays["anchor_2"], np.float32)
        self._eye_distance_px, self._px_per_dm = (float(v) for v in arrays["facts_3"][:2])
        self._cavity_3, self._mucosa_3 = (np.asarray(arrays[n], np.float32) for n in ("cavity_3", "mucosa_3"))
        self._sprites = {n: arrays[f"{n}_HW4"].astype(np.float32) for n in ("tongue", "lower_teeth", "upper_teeth")}
        self._sprites["lower_teeth"][..., :3] *= np.float32(_LOWER_LIGHT)
        own = arrays["own_teeth_HW4"].astype(np.float32)
        self._own_teeth = own if own.any() else None
        self._own_at_2 = np.asarray(arrays["boxes_24"][1, :2], np.float32)

    def draw(
        self, hole_HW: Float32, lips_L2: Float32, units_U: Float32, shift_2: Float32, roll: float, origin_2: Float32
    ) -> Float32:
        """The inside, as large as the hole.

        Args:
            hole_HW: 1 between the lips.
            lips_L2: the line between the lips, corner to corner from left to right, px of the hole.
            units_U: mouth units.
            shift_2: px that the head's movement carries the mouth.
            roll: of the head, radians.
            origin_2: px of the picture at the hole's corner.
        Returns:
            (H, W, 3), 0..255.
        """
        size = hole_HW.shape[1], hole_HW.shape[0]
        picture = np.empty((*hole_HW.shape, 3), np.float32)
        picture[:] = self._cavity_3
        anchor = self._anchor_2 + shift_2 - origin_2
        cos, sin = np.cos(roll), np.sin(roll)
        axes_22 = np.array([[cos, -sin], [sin, cos]], np.float32) @ self._facing_22
        jaw = self._jaw_2 * units_U[_JAW]
        down = axes_22[:, 1] * self._px_per_dm
        raised = float(_TONGUE_U @ units_U)
        ways = {
            "tongue": _TONGUE_FOLLOWS * jaw - down * raised,
            "lower_teeth": jaw - down * (_LOWER_UP_MM / 100),
            "upper_teeth": down * ((_UPPER_STRETCH - 1) * _UPPER_FROM_MM / 100),
        }
        for name, way in ways.items():
            sprite = self._sprites[name]
            middle = np.array([(sprite.shape[1] - 1) / 2, (sprite.shape[0] - 1) / 2], np.float32)
            along_22 = axes_22 * [1, _UPPER_STRETCH] if name == "upper_teeth" else axes_22
            matrix = np.column_stack([along_22, anchor + way - along_22 @ middle])
            _lay(picture, cv2.warpAffine(sprite, matrix.astype(np.float64), size, flags=cv2.INTER_LINEAR))
        light = self._light(hole_HW)
        forward = np.float32(max(_LEAST_LIGHT, 1 - float(_FORWARD_U @ units_U))) ** _DIM_RGB
        picture = np.asarray(picture * light * forward, np.float32)
        if self._own_teeth is not None:
            at = shift_2 + self._own_at_2 - origin_2
            matrix = np.array([[1, 0, at[0]], [0, 1, at[1]]], np.float64)
            own = np.asarray(cv2.warpAffine(self._own_teeth, matrix, size, flags=cv2.INTER_LINEAR), np.float32)
            lit = np.asarray(own[..., :3] * (1 - np.float32(_OWN_LIGHT) * (1 - light)), np.float32)
            _lay(picture, np.concatenate([lit, own[..., 3:]], axis=-1))
        self._lay_corners(picture, lips_L2)
        return picture

    def _lay_corners(self, picture_HWC: Float32, lips_L2: Float32) -> None:
        """Towards its ends a mouth shows flesh, not depth."""
        (x0, _), (x1, _) = lips_L2[0], lips_L2[-1]
        x = (np.arange(picture_HWC.shape[1], dtype=np.float32) - x0) / max(float(x1 - x0), 1.0)
        share = np.clip(1 - np.minimum(x, 1 - x) / np.float32(_CORNER), 0, 1)
        picture_HWC += (self._mucosa_3 - picture_HWC) * (share * share * (3 - 2 * share))[None, :, None]

    def _light(self, hole_HW: Float32) -> Float32:
        """The lips' shadow: deepest under the upper lip, softer elsewhere; thin mouths are not darkened whole."""
        reach = np.float32(_SHADE * self._eye_distance_px)
        near = cv2.GaussianBlur(hole_HW, (0, 0), float(reach))
        lowered = cv2.warpAffine(near, np.array([[1, 0, 0], [0, 1, 0.6 * reach]], np.float64), near.shape[::-1])
        light = np.minimum(near, 0.35 + lowered)
        share = np.clip(light / max(float(light.max()), 0.3), 0, 1)
        share = share * share * (3 - 2 * share)
        return np.asarray(_DARKEST + (1 - _DARKEST) * share, np.float32)[..., None]


def _lay(under_HWC: Float32, sprite_HW4: NDArray[Any]) -> None:
    """A premultiplied sprite over a picture, in place."""
    under_HWC *= 1 - sprite_HW4[..., 3:] / np.float32(255)
    under_HWC += sprite_HW4[..., :3]
