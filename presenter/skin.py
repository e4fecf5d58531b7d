"""Colour of the skin, painted procedurally; pores and blotches are the shader's."""

from __future__ import annotations

import numpy as np

from presenter.brows import brow_cover
from presenter.geometry import Float, linear_rgb, smoothstep
from presenter.hair import hair_cover

BASE = linear_rgb(221, 172, 146)
RED = linear_rgb(222, 142, 124)
SHADE = linear_rgb(192, 140, 118)
LID = linear_rgb(198, 138, 118)
LIGHT = linear_rgb(236, 196, 170)
SCALP = linear_rgb(74, 52, 40)
BROW = linear_rgb(128, 92, 72)
LIP = linear_rgb(188, 104, 100)
# Tint, strength, centre and extent (|x|, y, z) of soft spots; the eye's centre is subtracted where marked.
SPOTS = (
    (RED, 0.36, (0.42, 6.33, 1.15), (0.22, 0.20, 0.30), False),  # cheeks
    (RED, 0.32, (0.0, 6.30, 1.50), (0.13, 0.12, 0.20), False),  # tip of the nose
    (RED, 0.20, (0.0, 5.74, 1.30), (0.20, 0.12, 0.25), False),  # chin
    (LIGHT, 0.30, (0.0, 7.10, 1.25), (0.45, 0.20, 0.40), False),  # forehead
    (SHADE, 0.30, (0.0, -0.12, 0.15), (0.20, 0.07, 0.30), True),  # under the eyes
    (LID, 0.50, (0.0, 0.10, 0.15), (0.19, 0.075, 0.30), True),  # upper lids
)


def paint_skin(points: Float, eye_centre: Float) -> Float:
    """Linear RGB (n, 3) of places on the body at rest; `eye_centre` is her left eye's."""
    x, y, z = np.abs(points[:, 0]), points[:, 1], points[:, 2]
    colour = np.tile(BASE, (len(points), 1))

    def blend(tint: Float, amount: Float) -> None:
        colour[:] = colour * (1 - amount[:, None]) + tint * amount[:, None]

    for tint, strength, centre, extent, at_eye in SPOTS:
        middle = np.array(centre) + (eye_centre if at_eye else 0)
        distance = (np.stack([x, y, z], 1) - middle) / np.array(extent)
        blend(tint, strength * np.exp(-(distance**2).sum(1)))
    blend(RED, 0.45 * smoothstep(0.70, 0.80, x) * (y > 6.2) * (y < 7.2))  # ears
    blend(SCALP, 0.85 * smoothstep(0.25, 0.95, hair_cover(points, 7.0)))
    blend(BROW, 0.50 * brow_cover(points, eye_centre))
    return colour
