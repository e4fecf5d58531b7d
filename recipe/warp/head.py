"""How the head moves: five fields that carry the whole head and die away along the neck.

A small turn moves a point in proportion to its depth before the neck's axis.

Axes: N places, K landmarks. px of the picture.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from recipe.warp.curves import smoothstep
from recipe.warp.fields import Float, Interpolator
from recipe.warp.points import OVAL, SKIN

_AXIS: Final = 0.55  # the neck's axis lies this far behind the landmarks' mean depth, in widths of the face
_DEPTHS: Final = (0.15, 3.0)  # of that: what lies beyond the landmarks (hair, ears) is no deeper
_CHIN: Final = 0.42  # from the face's middle to its chin, in heights of the face; a little less than a half
_NECK: Final = 0.50  # the movement ends this far below
_PIVOT: Final = 0.75  # a lean turns about this point below the face's middle
_EDGE: Final = 0.11  # eye distances: towards a picture's edge that cuts the head everything comes to rest


class HeadFields:
    """The five fields of one picture at any places."""

    def __init__(
        self, points_K3: Float, width: int, height: int, eye_distance_px: float, person_is_cut_out: bool
    ) -> None:
        """Measure the head.

        Args:
            points_K3: landmarks, depth growing away from the camera.
            width: of the picture.
            height: of the picture.
            eye_distance_px: of the outer eye corners.
            person_is_cut_out: what lies behind stands still by itself; otherwise the fields fade out around the head.
        """
        oval = points_K3[list(OVAL), :2]
        self._centre, self._size = (oval.max(0) + oval.min(0)) / 2, np.ptp(oval, 0)
        self._width, self._height = width, height
        self._fades = not person_is_cut_out
        self._edge_px = _EDGE * eye_distance_px
        self._back = _AXIS * self._size[0]
        some = points_K3[:SKIN:3]  # depth is smooth: a third of the landmarks tells as much
        self._depth = Interpolator(some[:, :2], self._back - some[:, 2:], np.zeros((0, 2)), eye_distance_px)

    @property
    def lowest_px(self) -> float:
        """Below this row nothing moves."""
        return float(self._centre[1] + (_CHIN + _NECK) * self._size[1])

    def weight(self, where_N2: Float) -> Float:
        """Which share of the head's movement a place takes part in: 1 on the head, 0 on the chest. (N,)"""
        below = (where_N2[:, 1] - self._centre[1]) / self._size[1] - _CHIN
        weight = smoothstep(_NECK, 0, below)
        if self._fades:
            round_head = np.hypot(*((where_N2 - self._centre) / self._size + [0, 0.15]).T / [[0.62], [0.66]])
            neck = np.abs(where_N2[:, 0] - self._centre[0]) / self._size[0]
            beside = smoothstep(0.95, 0.4, neck) * (below > -_CHIN)
            weight = weight * np.maximum(smoothstep(2.1, 1.0, round_head), beside)
        x, y = where_N2.T
        to_edge = np.minimum(np.minimum(x, self._width - 1 - x), y)  # the lower edge cuts the chest, which rests
        return np.asarray(weight * smoothstep(0, self._edge_px, to_edge))

    def __call__(self, where_N2: Float) -> Float:
        """Per unit of `units.HEAD_MOVES` (shifts in px): (N, 5, 2)."""
        weight = self.weight(where_N2)
        depth = self._depth(where_N2)[:, 0]
        depth = np.clip(depth, _DEPTHS[0] * self._back, _DEPTHS[1] * self._back) * weight
        x, y = ((where_N2 - self._centre - [0, _PIVOT * self._size[1]]) * weight[:, None]).T
        none = np.zeros_like(weight)
        moves = [(weight, none), (none, weight), (-y, x), (depth, none), (none, depth)]
        return np.stack([np.stack(move, axis=-1) for move in moves], axis=1)
